"""Write the load reports of a run, the names of all tensors loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import nn

from swin_dense.checkpoints.report import LoadReport
from swin_dense.engine.cli import write_json

LOAD_REPORT = 'load_report.json'


def backbone_reports(model: nn.Module) -> Iterator[tuple[str, LoadReport]]:
    """Yield the path and the report of each backbone with pretrained weights.

    Args:
        model: A model whose backbones may have been initialised by
            `init_cfg`.
    """
    for name, module in model.named_modules():
        report = getattr(module, 'load_report', None)
        if isinstance(report, LoadReport):
            yield '.'.join(filter(None, ('model', name))), report


def write_load_reports(
    path: Path, reports: Sequence[tuple[str, LoadReport]]
) -> None:
    """Write the load reports of the parts of a model as JSON, atomically.

    Args:
        path: The file. Its entry `loads` is a list in the order of loading;
            each element has the lists of a `LoadReport`, and `into`, the
            part of the model.
        reports: Part of the model and report of each load.
    """
    loads = [{'into': part, **asdict(report)} for part, report in reports]
    write_json(path, {'loads': loads})
