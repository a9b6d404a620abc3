"""Turn a trained run into the heads that soundseek carries for `soundseek models get soundseek-plus`.

    python scripts/offer_plus.py RUN --data DATA --unmet MODEL --unmet-files FILE

RUN is a folder of `soundseek train` on the published trunk mn04_as, frozen. Its heads, its recipe, the words of the
captions that it learned from and what it was trained on replace those in src/soundseek/model/offered/soundseek-plus;
licence, summary, credits, limits and the trunk's address stay as `offer.json` there has them: edit them by hand. With
--data the joined model is evaluated on DATA's evaluation split (or --split) and the scores go along; the kinds of sound
of its development split are what words are looked up among, and how sure hits are is fitted on its validation split,
and with --unmet on sounds that were not met, too: MODEL is a model directory of heads that were trained alike without
the sounds of FILE (data.leave_out). --score adds further scores, --model keeps the joined model. The trunk itself is
never carried: heads that hold a tensor of it are refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, equal

from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets.layout import read_split
from soundseek.learn.datasets.tables import read_lines
from soundseek.learn.evaluation.evaluate import evaluate
from soundseek.learn.evaluation.manners import fit_manners
from soundseek.learn.evaluation.match import Unmet, fit_match, varied_sounds
from soundseek.learn.evaluation.memory import Remembering, remember
from soundseek.learn.export.assemble import (
    check_golden,
    join,
    published_tensors,
    take_further_files,
    tensors_digest,
    with_trunk,
)
from soundseek.learn.export.golden_vectors import golden_vectors_of, save_probes
from soundseek.learn.export.model_card import record_scores, write_readme
from soundseek.learn.export.replace import QUERY_FILES
from soundseek.learn.export.vocabulary import write_learned_words
from soundseek.learn.models.build import build_trunk
from soundseek.learn.recipe.load import Recipe, load_recipe, save_recipe
from soundseek.learn.training.run_folder import MODEL_FILE, RECIPE_FILE, read_record
from soundseek.model.config import TEXT_FILE, ModelConfig
from soundseek.model.manners import write_manners
from soundseek.model.model import Model
from soundseek.model.registry import (
    AVAILABLE,
    AVAILABLE_FILE,
    GOLDEN_FILE,
    HEADS_FILE,
    HEADS_RECIPE_FILE,
    AvailableModel,
)

MOST_BYTES = 8_000_000
"""Of heads in the repository and the wheel; linear ones are 1.6 MB."""

_OF_THE_EXPORT = {"parity", "precision", "audio_precision", "trunk_sha256"}  # made anew on the user's machine


def carry(
    run: Path,
    offered: Path,
    *,
    precision: str,
    data: Path | None = None,
    split: str = "evaluation",
    unmet: tuple[Path, Path] | None = None,
    scores: dict[str, float] | None = None,
    keep: Path | None = None,
) -> AvailableModel:
    """Replace the carried files in `offered` by those of a run; returns the new offer.

    Args:
        run: A finished run folder.
        offered: The directory of the offer, with its `offer.json`.
        precision: Of the joined model.
        data: What is evaluated, remembered and fitted on; None carries heads alone.
        split: Of the data, evaluated.
        unmet: A model directory of heads trained alike without some sounds, and the list of these.
        scores: Further ones.
        keep: Where the joined model stays.

    Raises:
        UsageError: The run holds more than heads, or its trunk is not the published one.
    """
    recipe = load_recipe(run / RECIPE_FILE)
    weights = run / str(recipe.audio.weights)
    trunk = published_tensors(build_trunk(recipe.audio.trunk, weights))
    heads = heads_of(run, trunk)
    refuse_what_users_lack(recipe)
    facts = json.loads((offered / AVAILABLE_FILE).read_text(encoding="utf-8"))
    if tensors_digest(trunk) != facts["trunk"]["tensors_sha256"]:
        raise UsageError(f"{weights} is not {facts['trunk']['name']}, on which these heads must be trained")
    with tempfile.TemporaryDirectory() as folder:
        fresh, joined = Path(folder) / "offered", keep or Path(folder) / "model"
        fresh.mkdir()
        save_file(heads, fresh / HEADS_FILE)
        save_recipe(portable(recipe), fresh / HEADS_RECIPE_FILE)
        write_learned_words(run, fresh)
        facts |= {"precision": precision, "scores": {}, "training": portable_facts(read_record(run))}
        offer = AvailableModel.model_validate(
            {**facts, "fingerprint": "", "size_bytes": 1, "working_bytes": 1}
        )
        offer.write(fresh)
        join(fresh, weights, joined)
        if data is not None:
            record_scores(joined, evaluate(Model(joined), data, split).to_dict())
        save_probes(golden_vectors_of(Model(joined)), fresh / GOLDEN_FILE)
        offer = measured(offer, joined, heads, scores or {})
        offer.write(fresh)
        card = ModelConfig.read(joined)
        card = card.model_copy(update={"fingerprint": offer.fingerprint, "scores": offer.scores})
        card.write(joined)
        write_readme(joined, card)
        check_golden(joined, fresh)
        if data is not None:
            with suppress(DataError):  # too few clips to fit on: then hits do not say how sure they are
                model = Model(joined)  # with its fingerprint, which these files name
                memory = remember(model, data, split="development")
                memory.write(fresh)
                others = None if unmet is None else not_met(*unmet, data)
                remembering = Remembering(model, memory)
                match = fit_match(remembering, data, reference_split="development", unmet=others)
                match.write(fresh)
                varied = varied_sounds(model, read_split(data, "development"))
                manners = fit_manners(model, data, split="development", reference=varied, memory=memory)
                write_manners(fresh, manners, heard_by=model.hears_like)
            take_further_files(fresh, joined)
            more = sum(file.stat().st_size for file in joined.iterdir()) - offer.size_bytes
            sizes = {"size_bytes": offer.size_bytes + more, "working_bytes": offer.working_bytes + more}
            offer = offer.model_copy(update=sizes)
            offer.write(fresh)
        offered.mkdir(parents=True, exist_ok=True)
        for name in (HEADS_FILE, HEADS_RECIPE_FILE, GOLDEN_FILE, AVAILABLE_FILE):
            shutil.copyfile(fresh / name, offered / name)
        for name in QUERY_FILES:
            if (fresh / name).is_file():
                shutil.copyfile(fresh / name, offered / name)
            else:  # those of other captions, of other heads
                (offered / name).unlink(missing_ok=True)
    return offer


def not_met(model: Path, files: Path, data: Path) -> Unmet:
    """What `fit_match` takes of heads that were trained without the sounds that a list names."""
    without, names = Model(model), frozenset(read_lines(files))
    return Unmet(Remembering(without, remember(without, data, split="development", leave_out=names)), names)


def heads_of(run: Path, trunk: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a run's `model.safetensors`, none of which may be the trunk's or the text tower's."""
    heads = load_file(run / MODEL_FILE)
    if foreign := [name for name in heads if name.split(".")[0] in ("trunk", "tail", "text")]:
        raise UsageError(
            f"{run} holds parts of a tower, and only heads are carried: {', '.join(foreign[:4])}"
        )
    told_apart = [tensor for tensor in trunk.values() if tensor.numel() > 1 and tensor.min() < tensor.max()]
    for name, tensor in heads.items():
        if any(other.shape == tensor.shape and equal(other, tensor) for other in told_apart):
            raise UsageError(f"{name} is a tensor of the published trunk, which is not ours to carry")
    if (size := sum(tensor.nbytes for tensor in heads.values())) > MOST_BYTES:
        raise UsageError(f"the heads have {size:,} bytes, at most {MOST_BYTES:,} are carried")
    return heads


def refuse_what_users_lack(recipe: Recipe) -> None:
    """Raise a UsageError for a text tower that is a directory of this machine."""
    if Path(recipe.text.tower).exists():
        raise UsageError(f"the text tower {recipe.text.tower} is a local directory, which users do not have")


def measured(
    offer: AvailableModel, joined: Path, heads: dict[str, Tensor], scores: dict[str, float]
) -> AvailableModel:
    """The offer with what the joined model says of itself."""
    card = ModelConfig.read(joined)
    size_bytes = sum(file.stat().st_size for file in joined.iterdir())
    # The text network is exported in 32 bits before it is rounded to 8.
    text_bytes = (joined / TEXT_FILE).stat().st_size * (4 if offer.precision == "int8" else 1)
    made_of = (
        card.front_end.model_dump_json(),
        tensors_digest(heads),
        offer.trunk.tensors_sha256,
        offer.precision,
    )
    return offer.model_copy(
        update={
            "fingerprint": hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:12],
            "size_bytes": size_bytes,
            "working_bytes": size_bytes + text_bytes + 2 * offer.trunk.size_bytes,
            "scores": {**card.scores, **scores},
            "training": {key: value for key, value in card.training.items() if key not in _OF_THE_EXPORT},
        }
    )


def portable(recipe: Recipe) -> Recipe:
    """The recipe without the trunk's place, and with names for the paths of this machine."""
    values = portable_facts(with_trunk(recipe, None).model_dump(mode="json"))
    return Recipe.model_validate(values)


def portable_facts(value: Any) -> Any:
    """The same with names in place of absolute paths."""
    if isinstance(value, dict):
        return {key: portable_facts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [portable_facts(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def main() -> None:
    """Read the command line and carry the heads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--offered", type=Path, default=AVAILABLE / "soundseek-plus")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="evaluation")
    parser.add_argument("--unmet", type=Path, metavar="MODEL")
    parser.add_argument("--unmet-files", type=Path, metavar="FILE")
    parser.add_argument("--score", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--model", type=Path, metavar="DIR")
    given = parser.parse_args()
    if (given.unmet is None) != (given.unmet_files is None):
        parser.error("--unmet MODEL and --unmet-files FILE belong together; give both or neither")
    unmet = None if given.unmet is None else (given.unmet, given.unmet_files)
    scores = {name: float(value) for name, value in (score.rsplit("=", 1) for score in given.score)}
    offer = carry(
        given.run,
        given.offered,
        precision=given.precision,
        data=given.data,
        split=given.split,
        unmet=unmet,
        scores=scores,
        keep=given.model,
    )
    print(f"{given.offered}: {offer.name} {offer.fingerprint}, {offer.size_bytes / 1e6:.1f} MB joined")
    print("\n".join(f"{name} {value:.4f}" for name, value in offer.scores.items()))


if __name__ == "__main__":
    main()
