"""Training and evaluation in PyTorch: a recipe and captioned sounds become a run, and a run a model directory.

The names below are what a script needs; each is imported when it is first used::

    from pathlib import Path

    from soundseek.learn import RunEmbedder, evaluate, export_run, load_recipe, load_run, train

    data = Path("sounds")  # Clotho's layout: captions_{split}.csv and {split}/
    run = train(load_recipe("mine.yaml", ["training.epochs=5"]), data, Path("run"))
    report = evaluate(RunEmbedder(*load_run(run)), data, split="validation")
    print(f"mAP@10 {report.text_to_audio.mAP10.value:.3f}")
    export_run(run, Path("model"))  # then: soundseek.load_model("model")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundseek._lazy import lazy_names

if TYPE_CHECKING:
    from soundseek.learn.evaluation.evaluate import RunEmbedder as RunEmbedder
    from soundseek.learn.evaluation.evaluate import evaluate as evaluate
    from soundseek.learn.export.adapt import adapt as adapt
    from soundseek.learn.export.export import export_run as export_run
    from soundseek.learn.models.dual_encoder import DualEncoder as DualEncoder
    from soundseek.learn.recipe.load import load_recipe as load_recipe
    from soundseek.learn.training.run_folder import load_run as load_run
    from soundseek.learn.training.train import train as train

_HOMES = {
    "DualEncoder": "soundseek.learn.models.dual_encoder",
    "RunEmbedder": "soundseek.learn.evaluation.evaluate",
    "adapt": "soundseek.learn.export.adapt",
    "evaluate": "soundseek.learn.evaluation.evaluate",
    "export_run": "soundseek.learn.export.export",
    "load_recipe": "soundseek.learn.recipe.load",
    "load_run": "soundseek.learn.training.run_folder",
    "train": "soundseek.learn.training.train",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
