"""A toy offer: heads for a toy trunk, carried as those of soundseek-plus are, and the script that carries them."""

from __future__ import annotations

import hashlib
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import torch
from toy_learning import make_toy_bert, make_toy_trunk, toy_recipe

from soundseek.learn.export.assemble import tensors_digest
from soundseek.learn.models.build import build_text, build_trunk
from soundseek.learn.training.resume import claim_run
from soundseek.learn.training.run_folder import build_dual_encoder, save_model, update_record
from soundseek.model.registry import AVAILABLE_FILE

TRUNK = "trunk.safetensors"
SCRIPT = Path(__file__).parents[1] / "scripts" / "offer_plus.py"


def load_script() -> ModuleType:
    """`scripts/offer_plus.py` as a module."""
    spec = spec_from_file_location("offer_plus", SCRIPT)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_toy_run(directory: Path) -> Path:
    """A run folder with a toy trunk, a toy BERT and heads newly drawn."""
    make_toy_trunk(directory / TRUNK)
    make_toy_bert(directory / "bert", num_layers=1)
    recipe = toy_recipe(directory)
    run = directory / "run"
    recipe = claim_run(run, recipe, resume=False)
    torch.manual_seed(0)
    text = build_text(recipe.text.tower, pooling="mean", max_tokens=16)
    save_model(build_dual_encoder(recipe, 8, text.width, text=text), run)
    update_record(run, data=str(directory / "sounds"), best_epoch=2)
    return run


def write_facts(offered: Path, trunk: Path, *, url: str = "http://127.0.0.1:9/trunk.safetensors") -> None:
    """The part of `offer.json` that is written by hand."""
    content = trunk.read_bytes()
    facts = {
        "name": "toy-plus",
        "license": "CC0-1.0",
        "summary": "A toy.",
        "credits": ["Somebody"],
        "trunk": {
            "name": TRUNK,
            "url": url,
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "tensors_sha256": tensors_digest(build_trunk("compact", trunk).state_dict()),
            "license": "MIT",
        },
    }
    offered.mkdir(parents=True)
    (offered / AVAILABLE_FILE).write_text(json.dumps(facts))


def published_at(offered: Path, url: str, **trunk: object) -> None:
    """Change where an offer's trunk is published, and what is said of it."""
    facts = json.loads((offered / AVAILABLE_FILE).read_text())
    facts["trunk"] |= {"url": f"{url}/{facts['trunk']['name']}", **trunk}
    (offered / AVAILABLE_FILE).write_text(json.dumps(facts))
