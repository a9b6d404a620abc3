"""Augmentation while training: stripes out of a log-mel, gain, and two captions joined as their clips are.

All randomness comes from the generator that is passed in; nothing here acts in evaluation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from soundseek.errors import UsageError

JoinKind = Literal["sequence", "overlay"]


@dataclass(frozen=True)
class SpecAugmentConfig:
    """How much of a log-mel is taken out.

    Attributes:
        num_time_stripes: Stripes across time; 2 in every system derived from PANNs, as the next three.
        max_time_frames: Widest one, log-mel frames (64 of 10 ms are 0.64 s).
        num_mel_stripes: Stripes across the mel bands.
        max_mel_bands: Widest one, of 64 bands.
        max_time_share: Widest time stripe as a share of the clip. The published systems train on 10 s and
            more; in a clip of half a second 64 frames would be all there is to hear.
    """

    num_time_stripes: int = 2
    max_time_frames: int = 64
    num_mel_stripes: int = 2
    max_mel_bands: int = 8
    max_time_share: float = 0.2


class SpecAugment(nn.Module):
    """`spec_augment` as a layer behind `bn0`; in evaluation it passes the log-mel on untouched.

    Args:
        generator: Where the stripes come from, on the CPU.
        config: How much is taken out.
    """

    def __init__(self, generator: torch.Generator, config: SpecAugmentConfig | None = None) -> None:
        super().__init__()
        self.generator = generator
        self.config = config or SpecAugmentConfig()

    def forward(self, log_mel: Tensor, frame_mask: Tensor) -> Tensor:
        """`(batch, time, mel)`."""
        return spec_augment(log_mel, frame_mask, self.generator, self.config) if self.training else log_mel

    def reseed(self, *parts: int) -> None:
        """Let the next stripes depend on these numbers alone, whatever was drawn before; see `reseed`."""
        self.generator.manual_seed(int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1))


def reseed(module: nn.Module, *parts: int) -> list[torch.Generator]:
    """Give every `SpecAugment` inside a module stripes that depend on these numbers alone.

    Called before each training step with (seed, epoch, step, rank), so that a resumed run takes out the same stripes
    as one that never stopped, to the last bit, and every process other ones.

    Args:
        module: Such as a trunk or a whole dual encoder.
        parts: Numbers of at least 0.

    Returns:
        The generators: `chunked_backward(..., generators=reseed(...))` draws the same stripes in both of its passes.
    """
    layers = [each for each in module.modules() if isinstance(each, SpecAugment)]
    for place, layer in enumerate(layers):
        layer.reseed(*parts, place)
    return [layer.generator for layer in layers]


def spec_augment(
    log_mel: Tensor, frame_mask: Tensor, generator: torch.Generator, config: SpecAugmentConfig | None = None
) -> Tensor:
    """`(batch, time, mel)` with stripes set to 0, other ones in every clip.

    Args:
        log_mel: `(batch, time, mel)` behind `bn0`, whose mean is 0: a stripe there says nothing, while a 0 in
            decibels would be a loud sound.
        frame_mask: `(batch, time)` bool, True = real; stripes start in a clip's real part.
        generator: On the CPU, so that a seed gives the same stripes on every device.
        config: How much is taken out.
    """
    config = config or SpecAugmentConfig()
    lengths = frame_mask.sum(dim=1).cpu()
    widest = (lengths * config.max_time_share).long().clamp(max=config.max_time_frames)
    bands = torch.full_like(lengths, log_mel.shape[2])
    in_time = _stripes(lengths, widest, config.num_time_stripes, log_mel.shape[1], generator)
    in_mel = _stripes(
        bands, bands.clamp(max=config.max_mel_bands), config.num_mel_stripes, log_mel.shape[2], generator
    )
    taken = in_time.unsqueeze(2) | in_mel.unsqueeze(1)  # (batch, time, mel)
    return log_mel.masked_fill(taken.to(log_mel.device), 0.0)


def random_gain(
    waveform: Tensor, generator: torch.Generator, *, low_db: float = -20.0, high_db: float = 6.0
) -> Tensor:
    """`(batch, samples)` waveforms, each louder or quieter by its own random gain, uniform in dB.

    A clip is raised at most until its peak is 1, so that gain never clips; one that is above 1 is never
    raised.

    Args:
        waveform: `(batch, samples)`.
        generator: On the CPU.
        low_db: Lowest gain. More room below than above: a sound recorded from afar is quiet, and most are
            near full scale already.
        high_db: Highest gain.
    """
    if not low_db <= high_db:
        raise UsageError(f"gain runs from low_db {low_db} to high_db {high_db}; the first must not be larger")
    gain_db = low_db + (high_db - low_db) * torch.rand(len(waveform), generator=generator)
    gain = (10 ** (gain_db / 20)).to(waveform)
    room = 1 / waveform.abs().amax(dim=1).clamp(min=1e-9)
    return waveform * torch.minimum(gain, room.clamp(min=1)).unsqueeze(1)


# {a} and {b} are captions without their full stop, {b} as inside a sentence. What fits depends on {b}:
# "while" wants a sentence ("a dog barks"), "followed by" a thing ("a dog barking"), "and then" takes either.
_JOINS: dict[tuple[JoinKind, str], tuple[str, ...]] = {
    ("sequence", "sentence"): (
        "{a} and then {b}",
        "{a}, then {b}",
        "{a} before {b}",
        "{a}, after which {b}",
        "{a}, and a moment later {b}",
    ),
    ("sequence", "thing"): (
        "{a} followed by {b}",
        "{a} and then {b}",
        "{a}, then {b}",
        "{a} and afterwards {b}",
    ),
    ("sequence", "unclear"): ("{a} and then {b}", "{a}, then {b}", "{a} and afterwards {b}"),
    ("sequence", "several"): ("{a}. Then {b}", "{a}. After that, {b}"),
    ("overlay", "sentence"): ("{a} while {b}", "{a} as {b}", "{a} and {b}", "{a}, and at the same time {b}"),
    ("overlay", "thing"): (
        "{a} with {b} in the background",
        "{a} along with {b}",
        "{a} and {b}",
        "{a} together with {b}",
    ),
    ("overlay", "unclear"): ("{a} and {b}", "{a}, and at the same time {b}", "{a} and also {b}"),
    ("overlay", "several"): ("{a}. Meanwhile, {b}", "{a}. At the same time, {b}"),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PROPER = _words(  # stay capital inside a sentence, beside whatever has a capital further inside
    """I African American Arabic Asian Australian British Bulgarian Catalan Celtic Chinese Christmas Danish
    Dutch English European Finnish French German Greek Halloween Hawaiian Hindi Indian Irish Italian Japanese
    Korean Latin Lithuanian Mexican Morse Norwegian Polish Portuguese Romanian Russian Scottish Spanish
    Swedish Swiss Turkish Ukrainian Vietnamese Western"""
)
_FINITE = _words(
    """is are was were am has have had can could will would may might must does do did gets goes it there
    you"""
)
_SUBJECT = _words("a an the one two three several many some someone somebody he she they people this that")
_LINKS = _words("while as when then before after until and but who which that")
_NO_PARTICIPLE = _words(
    """string thing something anything nothing everything ring king spring wing sing bring swing ding ping
    sting evening morning building ceiling lightning clothing wedding railing during"""
)
_SOUND_OF = re.compile(
    r"^((the|a|an|some|loud|faint|distant)\s)*(\w+\s)?(sounds?|noises?|\w+ing|hum|roar) of\s", re.IGNORECASE
)


def join_captions(first: str, second: str, kind: JoinKind, random: Random) -> str:
    """One caption for two clips that follow each other or sound together.

    Args:
        first: Caption of the clip that comes first, or of the one in front.
        second: Caption of the other clip.
        kind: "sequence" or "overlay".
        random: Picks among the joining words that fit.

    Raises:
        UsageError: An empty caption, or no such kind.

    >>> join_captions("A dog barks.", "The rain falls.", "overlay", Random(0))
    'A dog barks, and at the same time the rain falls.'
    >>> join_captions("A dog barks.", "Heavy rain", "sequence", Random(0))
    'A dog barks and afterwards heavy rain.'
    """
    a, b = _without_stop(first), _without_stop(second)
    if not a or not b:
        raise UsageError(f"captions to join must not be empty, got {first!r} and {second!r}")
    if kind not in ("sequence", "overlay"):
        raise UsageError(f"captions are joined as 'sequence' or 'overlay', not {kind!r}")
    form = "thing" if _is_thing(b) else "sentence" if _is_sentence(b) else "unclear"
    if re.search(r"[.!?;:]\s", f"{a} {b}"):  # a comma or a conjunction would tie the wrong sentences together
        form = "several"
    joined = random.choice(_JOINS[kind, form]).format(a=a, b=_lower_first(b))
    ended = first.rstrip()[-1] in ".!?" or second.rstrip()[-1] in ".!?"
    return joined + "." if ended else joined


def _stripes(
    lengths: Tensor, widest: Tensor, num_stripes: int, size: int, generator: torch.Generator
) -> Tensor:
    """`(batch, size)` bool, True in the random stripes of a row: inside `[0, length)`, 0 to `widest` wide."""
    shape = (len(lengths), num_stripes)
    width = (torch.rand(shape, generator=generator) * (widest.unsqueeze(1) + 1)).long()
    start = (torch.rand(shape, generator=generator) * (lengths.unsqueeze(1) - width + 1)).long()
    place = torch.arange(size)
    inside = (place >= start.unsqueeze(2)) & (place < (start + width).unsqueeze(2))  # (batch, stripe, size)
    return inside.any(dim=1)


def _without_stop(caption: str) -> str:
    return " ".join(caption.split()).rstrip(".!?,;: ")


def _lower_first(caption: str) -> str:
    """The caption as it stands inside a sentence: names, "I" and abbreviations keep their capital."""
    word = re.match(r"[^\W\d_]+", caption)
    if word is None or word[0] in _PROPER or word[0][1:] != word[0][1:].lower():
        return caption
    return caption[0].lower() + caption[1:]


def _is_thing(caption: str) -> bool:
    """True for "heavy rain", "a dog barking", "the sound of bells"; False where it is unclear."""
    words = re.findall(r"[\w'-]+", caption.lower())
    if _FINITE & set(words):
        return False
    if _SOUND_OF.match(caption):
        return True
    if _LINKS & set(words):
        return False
    for place, word in enumerate(words[:4]):
        if len(word) > 4 and word.endswith("ing") and word not in _NO_PARTICIPLE:
            return not any(earlier.endswith("s") for earlier in words[: max(0, place - 1)])
    return len(words) == 1 or (len(words) == 2 and not words[1].endswith(("s", "ly", "ed")))


def _is_sentence(caption: str) -> bool:
    """True for "a dog barks", "birds are singing"; False where it is unclear."""
    words = re.findall(r"[\w'-]+", caption.lower())
    has_verb = any(word.endswith("s") and not word.endswith(("ss", "us")) for word in words[1:])
    return bool(_FINITE & set(words)) or (bool(words) and words[0] in _SUBJECT and has_verb)
