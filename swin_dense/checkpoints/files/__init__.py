"""Checkpoint files: read as data, written atomically, downloaded once."""
