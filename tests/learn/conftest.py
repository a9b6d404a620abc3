"""What makes tests of the learning half quicker."""

from __future__ import annotations

import quick_exports  # noqa: F401
