"""What a recipe can say, section by section; `soundseek.learn.recipe` reads and joins them.

The defaults are the plainest system: frozen towers, no augmentation, one stage. Settings that contradict each other are
refused here; what needs files or sizes (weights, widths) is refused where these are met.
"""

from soundseek.learn.recipe_sections.card import CardConfig
from soundseek.learn.recipe_sections.data import DataConfig, ImaginedSounds, ListenerCaptions, TagCaptions
from soundseek.learn.recipe_sections.loss import LossConfig, SoftTargets
from soundseek.learn.recipe_sections.section import Section
from soundseek.learn.recipe_sections.towers import AudioConfig, TextAugmentConfig, TextConfig
from soundseek.learn.recipe_sections.training import StageConfig, TrainingConfig

__all__ = [
    "AudioConfig",
    "CardConfig",
    "DataConfig",
    "ImaginedSounds",
    "ListenerCaptions",
    "LossConfig",
    "Section",
    "SoftTargets",
    "StageConfig",
    "TagCaptions",
    "TextAugmentConfig",
    "TextConfig",
    "TrainingConfig",
]
