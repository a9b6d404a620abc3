"""docs/paper.md: what stands beside an equation gives what the code gives, and the code says which equation it is."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional

from soundseek.learn.losses import cosine_scores, nt_xent, supervised_contrastive
from soundseek.learn.models.attention import build_attention
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.recipe.load import flat_values, load_recipe

TEXT = (Path(__file__).parents[2] / "docs" / "paper.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## Eq\. (\d): .*?\n(.*?)(?=^## )", TEXT, flags=re.DOTALL | re.MULTILINE))
QUOTES = [
    (int(number), name, line.strip())
    for number, section in SECTIONS.items()
    for name, code in re.findall(
        r"^`(soundseek\.[\w.]+)`\n\n```python\n(.*?)```", section, flags=re.DOTALL | re.MULTILINE
    )
    for line in code.splitlines()
]
HOMES = {
    "GraphAttention": "soundseek.learn.models.attention",
    "DualEncoder": "soundseek.learn.models.dual_encoder",
    "CNN14Config": "soundseek.learn.models.audio.cnn14",
    "SpecAugmentConfig": "soundseek.learn.models.audio.spec_augment",
    "match_matrix": "soundseek.learn.losses",
    "supervised_contrastive": "soundseek.learn.losses",
}
CHOICES = {"block5", "none"}  # values of CNN14Config.reduction
CLAIMS = re.findall(r"`([\w.]+) = ([^`]+)`", TEXT.split("## What the paper says")[1])


def the_object(name: str) -> Any:
    """What a dotted name stands for."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            fields = getattr(found, "model_fields", {})  # a pydantic field is no attribute of its class
            found = fields[part] if part in fields else getattr(found, part)
        return found
    raise AssertionError(f"docs/paper.md names {name}, which is not there")


def equations(source: str) -> set[int]:
    """The numbers that "eq. 6", "eqs. 3-4" and "eqs. 2 and 4" in a source speak of."""
    found: set[int] = set()
    for first, joint, last in re.findall(r"\b[Ee]qs?\. (\d)(?:(-| and )(\d))?", source):
        numbers = range(int(first), int(last or first) + 1) if joint != " and " else (int(first), int(last))
        found.update(numbers)
    return found


def test_every_equation_of_the_paper_is_there() -> None:
    assert set(SECTIONS) == {str(number) for number in range(1, 8)}
    assert {number for number, _, _ in QUOTES} == set(range(1, 8))


def run(numbers: Sequence[int], name: str, **names: Any) -> Any:
    """What the lines beside some equations give: the value that is returned or stands last, or all names."""
    lines = [line for number, of, line in QUOTES if number in numbers and of == name]
    assert lines, f"docs/paper.md has no lines of {name} beside eq. {numbers}"
    *before, last = lines
    exec("\n".join(before), names)
    if re.match(r"\w+ = ", last):
        exec(last, names)
        return names
    return eval(last.removeprefix("return "), names)


def softmax(relation: Tensor, frame_mask: Tensor) -> Tensor:
    """Over a clip's real frames."""
    return relation.masked_fill(~frame_mask.unsqueeze(1), -math.inf).softmax(dim=-1)


@pytest.fixture
def clips() -> tuple[Tensor, Tensor]:
    """Frames `(2, 5, 6)`, of the second clip three are real; padding is zero, as the modules make it."""
    frame_mask = torch.arange(5) < torch.tensor([[5], [3]])
    frames = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0)) * frame_mask.unsqueeze(2)
    return frames, frame_mask


@pytest.mark.parametrize(
    ("numbers", "kind", "name"), [([1, 2], "graph", "GraphAttention"), ([3, 4], "self", "SelfAttention")]
)
def test_the_lines_beside_attention_give_what_the_module_gives(
    numbers: list[int], kind: Any, name: str, clips: tuple[Tensor, Tensor]
) -> None:
    frames, frame_mask = clips
    module = build_attention(kind, 6)
    given = {"self": module, "frames": frames, "frame_mask": frame_mask, "softmax": softmax, "math": math}
    found = run(numbers, f"soundseek.learn.models.attention.{name}.forward", **given)
    torch.testing.assert_close(found[frame_mask], module(frames, frame_mask)[frame_mask])


@pytest.mark.parametrize("kind", ["graph", "self"])
def test_the_lines_beside_the_embedding_give_what_the_encoder_gives(
    kind: Any, clips: tuple[Tensor, Tensor]
) -> None:
    frames, frame_mask = clips
    model = DualEncoder(dim=4, audio_width=6, text_width=5, attention=kind).eval()
    given = {"self": model, "frames": frames, "frame_mask": frame_mask, "functional": functional}
    name = "soundseek.learn.models.dual_encoder.DualEncoder.encode_audio"
    torch.testing.assert_close(run([2], name, **given)["scene"], model.encode_audio(frames, frame_mask))
    pooled = run([4], name, **given)["pooled"]
    torch.testing.assert_close(pooled, model.pooling(model.attend(frames, frame_mask), frame_mask))


def test_the_lines_beside_the_losses_give_what_they_give() -> None:
    text, audio = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    both = {"text_embedding": text, "audio_embedding": audio, "functional": functional}
    scores = run([5], "soundseek.learn.losses.cosine_scores", **both)
    torch.testing.assert_close(scores, cosine_scores(text, audio))
    logits, own = scores / 0.07, torch.eye(4, dtype=torch.bool)
    found = run([6], "soundseek.learn.losses.nt_xent", logits=logits, own=logits.diagonal())
    torch.testing.assert_close(found, nt_xent(scores, own, temperature=0.07))
    positives = own | torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    weights = positives.float()
    found = run([7], "soundseek.learn.losses.supervised_contrastive", logits=logits, weights=weights)
    torch.testing.assert_close(found, supervised_contrastive(scores, positives, temperature=0.07))


@pytest.mark.parametrize(("number", "name"), sorted({(number, name) for number, name, _ in QUOTES}))
def test_the_code_of_an_equation_says_its_number(number: int, name: str) -> None:
    found = the_object(name)
    assert number in equations(inspect.getsource(found)), f"{name} does not say that it is eq. {number}"


@pytest.mark.parametrize(("key", "value"), CLAIMS)
def test_the_values_told_are_those_of_the_recipes(key: str, value: str) -> None:
    found = flat_values(load_recipe("base"))[key]
    assert found == yaml.safe_load(value)


def test_every_name_in_the_tables_is_code_or_a_key_of_recipes() -> None:
    tables = TEXT.split("## What the paper says")[1]
    names = set(re.findall(r"`([A-Za-z][\w.]*)`", tables)) - CHOICES
    assert len(names) >= 10
    keys = flat_values(load_recipe("base"))
    for name in names - set(keys):
        home = HOMES.get(name.partition(".")[0], "")
        the_object(f"{home}.{name}" if home else name)


def test_equation_numbers_are_read_in_every_form() -> None:
    assert equations("# eq. 6, eqs. 3-4; (eqs. 1 and 5) Eq. 7") == {1, 3, 4, 5, 6, 7}
