"""Checkpoint files: read as data, write atomically, download once."""
