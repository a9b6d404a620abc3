"""Keys of segments stay what they are while rows come and go."""

from __future__ import annotations

import numpy as np
import pytest

from soundseek.errors import LibraryError
from soundseek.library.store.approximate_keys import keys_of_rows, rows_of_keys


def test_keys_lead_back_to_rows_after_files_are_gone() -> None:
    numbers = np.array([2, 2, 2, 5, 7, 7], np.int64)
    keys = keys_of_rows(numbers, 0, 6)
    np.testing.assert_array_equal(
        np.concatenate([keys_of_rows(numbers, 0, 2), keys_of_rows(numbers, 2, 6)]), keys
    )
    np.testing.assert_array_equal(rows_of_keys(numbers, keys), np.arange(6))
    without_5 = np.array([2, 2, 2, 7, 7], np.int64)
    np.testing.assert_array_equal(rows_of_keys(without_5, keys[[5, 3, 0]]), [4, 0])
    with pytest.raises(LibraryError, match="order"):
        keys_of_rows(np.array([5, 2], np.int64), 0, 2)
