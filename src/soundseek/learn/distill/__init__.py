"""A published AudioSet tagger teaches `compact` on mixtures of unlabelled clips.

The teacher hears a mixture as it is, the student a damaged copy of it, and imitates the teacher's frames, its pooled
embedding and its tags. In the order of the pipeline: `config` says what a run is, `sounds` what it learns from,
`mixtures` (for a CPU) and `tensor_mixtures` (for a GPU) what both hear, `networks` who hears it and what the student
learns from it, `run` how hours of that become a trunk.
"""

from __future__ import annotations

from soundseek.learn.distill.config import DistillConfig
from soundseek.learn.distill.run import CHECKPOINT, METRICS, TRUNK, distill, find_device
from soundseek.learn.distill.sounds import SoundPool, find_sounds

__all__ = [
    "CHECKPOINT",
    "METRICS",
    "TRUNK",
    "DistillConfig",
    "SoundPool",
    "distill",
    "find_device",
    "find_sounds",
]
