"""Sounds that a model remembers: what words mean is looked up among them, and the words turn towards what they name.

Vectors of words and of sounds share a space, but lie apart in it. Words are better understood as sounds: as the mean of
those remembered sounds that they name best, each counting the more the closer it is. So a model directory may hold
`memory.npz`, vectors of varied sounds; `soundseek calibrate` makes it (`learn/evaluation/memory.py`). This is the
support memory of Li et al., "DeCap", ICLR 2023, from words to sounds in place of from pictures to words.

What a search finds is looked up among them, too: as what is it heard, and is that what was asked for? A loud saxophone
scores better for "clarinet" than a clarinet far away does; it is heard as a saxophone, though, so it comes behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from soundseek._files import replacing
from soundseek._typing import AnyFloatArray, FloatArray
from soundseek._vectors import unit_rows
from soundseek.errors import ModelError
from soundseek.model.heard_by import heard_by_array, read_heard_by

MEMORY_FILE = "memory.npz"
# How fast a remembered sound counts less that is further from the words, and how much all of them count beside the
# words. Chosen on validation: short clips, moments of field recordings, and sounds of collections that were not met.
TEMPERATURE, WEIGHT = 0.03, 0.6
_NEAREST = 5
# How fast a remembered sound counts less that is further from a sound that was found, and from what was asked for; the
# least share of it that is told from none; how much the logarithm of that share counts beside a score. Chosen on
# validation, too, with sentences that name two sounds, and for soundseek-plus as well (docs/models.md).
_HEARD_TEMPERATURE, _ASKED_TEMPERATURE, _LEAST_SHARE, _HEARD_WEIGHT = 0.06, 0.06, 1e-4, 0.08


@dataclass(frozen=True)
class SoundMemory:
    """The sounds that a model remembers.

    Attributes:
        sounds: `(sounds, dim)` unit vectors.
        heard_by: Fingerprint of the model that gave them; empty: not known.
    """

    sounds: FloatArray
    heard_by: str = ""

    def turned(self, words: AnyFloatArray) -> FloatArray:
        """`(n, dim)` unit vectors of words, turned towards the sounds that they name.

        Args:
            words: `(n, dim)`, unit norm.

        Example:
            >>> near, far = SoundMemory(np.float32([[0.6, 0.8], [-1, 0]])).turned(np.float32([[0, 1], [-1, 0]]))
            >>> [f"{x:.2f}" for x in (*near, *far)]
            ['0.24', '0.97', '-1.00', '0.00']
        """
        wanted = np.asarray(words, np.float32)
        # One by one: a product of matrices rounds a row by what stands beside it; a query is the same in every batch.
        turned: FloatArray = np.concatenate([self._turned(row[None]) for row in wanted] or [wanted])
        return turned

    def _turned(self, wanted: FloatArray) -> FloatArray:
        close = wanted @ self.sounds.T
        shares = np.exp((close - close.max()) / TEMPERATURE)
        turned: FloatArray = unit_rows(wanted + np.float32(WEIGHT) * unit_rows(shares @ self.sounds))
        return turned

    def nearness(self, sound: AnyFloatArray) -> float:
        """The mean cosine of a sound `(dim,)`, unit norm, and the five remembered ones that are most like it.

        Example:
            >>> round(SoundMemory(np.eye(8, dtype=np.float32)).nearness(np.float32([0.6, 0.8, 0, 0, 0, 0, 0, 0])), 2)
            0.28
        """
        return float(np.sort(self.sounds @ np.asarray(sound, np.float32))[-_NEAREST:].mean())

    def heard_as_asked(self, sounds: AnyFloatArray, queries: AnyFloatArray) -> FloatArray:
        """`(n,)` what is added to the scores of sounds that were found: 0 where they are heard as what was asked for.

        Each sound is shared out among the remembered ones, the more to each the closer it is; what counts is the share
        of those that the query names. Of a sentence that names several sounds it is the smallest share of its parts.

        Args:
            sounds: `(n, dim)`, unit norm.
            queries: `(1 + parts, dim)`, unit norm; the first one is the whole.

        Example:
            >>> memory = SoundMemory(np.float32([[1, 0, 0], [0, 1, 0]]))
            >>> sounds = np.float32([[1, 0, 0], [0.7, 0.7, 0], [0, 1, 0]])
            >>> [f"{added:.2f}" for added in memory.heard_as_asked(sounds, memory.sounds[:1])]
            ['0.00', '-0.06', '-0.74']
        """
        asked = np.atleast_2d(np.asarray(queries, np.float32))
        close = (asked if len(asked) == 1 else asked[1:]) @ self.sounds.T
        named = np.exp((close - close.max(axis=1, keepdims=True)) / _ASKED_TEMPERATURE)
        heard = np.asarray(sounds, np.float32) @ self.sounds.T
        heard -= heard.max(axis=1, keepdims=True)
        heard /= _HEARD_TEMPERATURE
        shares = np.exp(heard, out=heard)
        least = (shares @ named.T / shares.sum(axis=1, keepdims=True)).min(axis=1)
        # Rounded: copies of a sound stay alike, though a product of matrices rounds a row by what stands beside it.
        added: FloatArray = np.round(_HEARD_WEIGHT * np.log(least + _LEAST_SHARE), 5).astype(np.float32)
        return added

    def write(self, directory: Path) -> None:
        """Write `memory.npz` into a model directory, whole or not at all: a byte for each component.

        Raises:
            StorageError: The disk is full, or the directory cannot be written to.
        """
        with replacing(directory / MEMORY_FILE) as partial, partial.open("wb") as file:
            largest = np.abs(self.sounds).max(axis=1, keepdims=True)
            known = largest[:, 0] > 0  # the clips of a kind may cancel each other out
            rounded = np.rint(self.sounds[known] * (127 / largest[known])).astype(np.int8)
            np.savez(file, sounds=rounded, **heard_by_array(self.heard_by))

    @classmethod
    def read(cls, directory: Path, *, dim: int, hears_like: str = "") -> SoundMemory | None:
        """The memory of a model directory; None where it has none.

        Args:
            directory: The model directory.
            dim: Of the model.
            hears_like: Of the model (`ModelConfig.hears_like`); empty: not compared.

        Raises:
            ModelError: The file is damaged, or of another model.
        """
        path = directory / MEMORY_FILE
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                sounds: npt.NDArray[np.int8] = stored["sounds"]
                heard_by = read_heard_by(path, stored, hears_like)
        except (OSError, ValueError, TypeError, KeyError, BadZipFile, EOFError) as error:
            raise ModelError(f"{path} is damaged: {error}; make it anew: soundseek calibrate") from error
        if sounds.dtype != np.int8 or sounds.ndim != 2 or not len(sounds) or sounds.shape[1] != dim:
            raise ModelError(
                f"{path} is of another model (shape {sounds.shape}); make it anew: soundseek calibrate"
            )
        return cls(unit_rows(sounds.astype(np.float32)), heard_by)
