"""The command line: one file a command; `output` says how things look."""
