"""What every test process starts from."""

from __future__ import annotations

import signal

# A run in the background (nohup, a build server) is started with Ctrl-C ignored, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
