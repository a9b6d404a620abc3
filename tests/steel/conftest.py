"""What tests of steel share with those of the library."""

from library.conftest import shelf

__all__ = ["shelf"]
