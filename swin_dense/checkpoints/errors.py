"""The error of this package."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or is not for this model."""
