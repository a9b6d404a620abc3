"""Property tests here are judged by their results: a busy machine must not fail them by its clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None, max_examples=50)
settings.load_profile("patient")
