"""The errors of this package."""

from typing import Any


class CheckpointError(ValueError):
    """A checkpoint cannot be read, or does not fit the model.

    Attributes:
        report: The `LoadReport` with what was found, or None if the error
            came before.
    """

    report: Any = None


class MalformedError(ValueError):
    """The content of a file is damaged or forged; the text says where."""


class DeviceError(RuntimeError):
    """The tensors of a file are on a device that this machine lacks."""
