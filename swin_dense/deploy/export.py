"""Export a part of a model by PyTorch's exporters, and compare the result.

`.onnx` is written by `torch.onnx.export`, `.pt2` by `torch.export.save`.
"""

import json
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from swin_dense.deploy.parts import ExportedPart

SUFFIXES = ('.onnx', '.pt2')
# Largest difference that rounding explains, relative to the largest value.
TOLERANCE = 1e-3


class Comparison(NamedTuple):
    """The outputs of an exported part beside PyTorch's.

    Attributes:
        program: What ran the exported part.
        difference: Largest difference of a value.
        largest: Largest absolute value.
    """

    program: str
    difference: float
    largest: float


def export_part(
    part: ExportedPart,
    path: Path,
    shape: Sequence[int],
    classes: Sequence[str] = (),
) -> tuple[Comparison | None, dict[str, tuple[int, ...]]]:
    """Export a part to a file, once it computes what PyTorch computes.

    Args:
        part: The part.
        path: The file, `NAME.onnx` or `NAME.pt2`.
        shape: Shape of the input, `(1, 3, H, W)` or `(1, 3, T, H, W)`.
        classes: Class names in label order, which the file holds as JSON, as
            metadata `classes` of ONNX or extra file `classes.json`.

    Returns:
        The comparison, None if there is nothing to run the file with; and
        the shapes of the outputs by name.

    Raises:
        ImportError: If a package that writes ONNX is not installed.
        ValueError: If the suffix is unknown, the part cannot be exported, or
            the file computes something else.
    """
    check_path(path)
    pixels = _pixels(shape)
    program = _trace(part, pixels)
    with torch.no_grad():
        expected = part(pixels)
    names = part.output_names(len(expected))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = Path(folder, path.name)
        if path.suffix == '.onnx':
            name, run = (
                'ONNX Runtime',
                _write_onnx(program, draft, names, classes),
            )
        else:
            name, run = 'torch.export', _write_pt2(program, draft, classes)
        comparison = None
        if run is not None:
            comparison = Comparison(name, *_compare(expected, run(pixels)))
        for file in Path(folder).iterdir():  # large weights have their own
            shutil.move(file, path.parent / file.name)
    return comparison, {
        name: tuple(values.shape) for name, values in zip(names, expected)
    }


def check_path(path: Path) -> None:
    """Check the suffix of a file, and that what writes it is installed.

    Raises:
        ImportError: If a package is not installed.
        ValueError: If the suffix is unknown.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f'cannot export to {path}: its name must end in '
            f'{" or ".join(SUFFIXES)}'
        )
    if path.suffix == '.onnx':
        for name in ('onnx', 'onnxscript'):
            if find_spec(name) is None:
                raise ImportError(
                    f'writing ONNX needs {name}: pip install onnx onnxscript '
                    "onnxruntime, or swin_dense with its extra 'export'"
                )


def _pixels(shape: Sequence[int]) -> Tensor:
    """Return random pixels, the same each time."""
    generator = torch.Generator().manual_seed(0)
    return 255 * torch.rand(*shape, generator=generator)


def _trace(part: ExportedPart, pixels: Tensor) -> Any:
    """Return the graph of a part.

    Raises:
        ValueError: If PyTorch cannot export it.
    """
    try:
        # Not in `no_grad`, whose traces in a graph cannot be written as ONNX.
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return torch.export.export(part, (pixels,), strict=False)
    except Exception as error:  # exporters raise errors of many kinds
        raise ValueError(
            f'PyTorch {torch.__version__} cannot export '
            f'{part.description.partition(":")[0]}: {_first_line(error)}'
        ) from error


def _write_onnx(
    program: Any, path: Path, names: Sequence[str], classes: Sequence[str]
) -> Any:
    """Write ONNX; return a function that runs it, None without runtime."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            exported: Any = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=['pixels'],
                output_names=[*names],
            )
        except Exception as error:  # of many kinds, as above
            raise ValueError(
                f'PyTorch {torch.__version__} cannot write this model as '
                f'ONNX: {_first_line(error)}. A file .pt2 may be possible'
            ) from error
    exported.model.metadata_props['classes'] = json.dumps([*classes])
    exported.save(str(path))
    if find_spec('onnxruntime') is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=['CPUExecutionProvider']
    )

    def run(pixels: Tensor) -> list[Tensor]:
        found = session.run(None, {'pixels': pixels.numpy()})
        return [torch.from_numpy(values) for values in found]

    return run


def _write_pt2(program: Any, path: Path, classes: Sequence[str]) -> Any:
    """Write a file of torch.export; return a function that runs it."""
    extra = {'classes.json': json.dumps([*classes])}
    torch.export.save(program, path, extra_files=extra)
    module = torch.export.load(path).module()

    def run(pixels: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return [*module(pixels)]

    return run


def _compare(
    expected: Sequence[Tensor], found: Sequence[Tensor]
) -> tuple[float, float]:
    """Return the largest difference of outputs, and the largest value.

    Raises:
        ValueError: If the outputs differ by more than rounding.
    """
    difference = largest = 0.0
    for values, exported in zip(expected, found, strict=True):
        gap = (values - exported).abs().max().item()
        difference = max(difference, gap)
        largest = max(largest, values.abs().max().item())
    if not difference <= TOLERANCE * max(largest, 1e-6):
        raise ValueError(
            f'the exported model differs from PyTorch by {difference:.3g}, '
            f'of values up to {largest:.3g}, so it was not written'
        )
    return difference, largest


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]
