"""The errors of this package."""

from typing import Any


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or is not for this model.

    Attributes:
        report: The `LoadReport` of what was found, where it came to that.
    """

    report: Any = None


class MalformedError(ValueError):
    """Content of a file that no honest tool writes, in a few words."""


class DeviceError(RuntimeError):
    """Tensors belong on a device that is not here."""
