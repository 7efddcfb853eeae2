"""Load, convert, inspect and resize checkpoints of Swin models.

Conversion and resizing are pure functions of dictionaries; loading changes a
model only if everything fits. All of them report what they did. `files` reads
and writes files without executing code, and `layouts` has an entry for each
source of checkpoints.
"""

from swin_dense.checkpoints.convert import convert_checkpoint
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.checkpoints.files.write import write_checkpoint
from swin_dense.checkpoints.inspect_file import inspect_checkpoint
from swin_dense.checkpoints.load import load_backbone, load_model
from swin_dense.checkpoints.report import LoadReport
from swin_dense.checkpoints.resize import resize_checkpoint

__all__ = [
    'CheckpointError',
    'LoadReport',
    'convert_checkpoint',
    'inspect_checkpoint',
    'load_backbone',
    'load_model',
    'read_checkpoint',
    'resize_checkpoint',
    'write_checkpoint',
]
