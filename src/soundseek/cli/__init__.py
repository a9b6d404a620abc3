"""The command line: one file a command; `output` says how things look."""

import os

# pydantic would look through every installed package for plugins of its own: 30 ms of every command.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
