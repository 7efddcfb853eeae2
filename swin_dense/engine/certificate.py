"""Record what decides the result of a training, and compare two records.

Two runs with equal certificates on machines of one kind give equal weights on
a CPU. Sections and entries stand in the order in which a difference is likely
to explain a gap between two results.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from torch import Tensor

from swin_dense.checkpoints.files.download import sha256
from swin_dense.checkpoints.files.read import TRAINING_STATE, read_checkpoint
from swin_dense.data.wrappers import inner_settings
from swin_dense.engine.launch import load_config
from swin_dense.files import read_text
from swin_dense.version import __version__

NAME = 'certificate.json'
FORMAT = 1
_PACKAGES = (
    'torch',
    'torchvision',
    'numpy',
    'opencv-python',
    'mmengine',
    'mmcv',
    'mmcv-lite',
    'mmdet',
    'mmsegmentation',
    'mmaction2',
    'pycocotools',
)


class Difference(NamedTuple):
    """An entry that two certificates do not share.

    Attributes:
        name: Section and path of the entry, joined by dots.
        first: Its value in the first certificate, None if it has none.
        second: Its value in the second.
    """

    name: str
    first: Any
    second: Any

    def __str__(self) -> str:
        """Return name and values on one line."""
        return f'{self.name}: {_short(self.first)} -> {_short(self.second)}'


def make_certificate(
    cfg: Config,
    seed: int | None = None,
    processes: int | None = None,
    weights: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the certificate of a training.

    Args:
        cfg: Its config, as it runs.
        seed: Its seed; None to take it from the config.
        processes: Number of its processes, None if unknown.
        weights: State_dict that it starts from, None if unknown.

    Returns:
        Plain values that JSON can hold; None where something is unknown.
    """
    loader = _plain(cfg.get('train_dataloader')) or {}
    wrapper = _plain(cfg.get('optim_wrapper')) or {}
    steps = wrapper.get('accumulative_counts', 1)
    size = loader.get('batch_size')
    randomness = _plain(cfg.get('randomness')) or {}
    certificate = {
        'format': FORMAT,
        'start': {
            'weights': None if weights is None else hash_weights(weights),
            'load_from': cfg.get('load_from'),
        },
        'batch': {
            'images per update': size * processes * steps
            if size and processes
            else None,
            'images per process': size,
            'processes': processes,
            'accumulated steps': steps,
        },
        'learning rate': {
            'optimizer': wrapper.get('optimizer'),
            'parameters': wrapper.get('paramwise_cfg'),
            'constructor': wrapper.get('constructor'),
            'clip_grad': wrapper.get('clip_grad'),
            'schedule': _plain(cfg.get('param_scheduler')),
            'auto_scale_lr': _plain(cfg.get('auto_scale_lr')),
        },
        'length': _plain(cfg.get('train_cfg')),
        'augmentation': [
            settings.get('pipeline') for settings in _datasets(loader)
        ],
        'data': {
            split: _describe_data(cfg.get(f'{split}_dataloader'))
            for split in ('train', 'val', 'test')
        },
        'sampler': {
            name: loader.get(name) for name in ('sampler', 'batch_sampler')
        },
        'model': _plain(cfg.get('model')),
        'numbers': {
            'wrapper': wrapper.get('type', 'OptimWrapper'),
            'dtype': wrapper.get('dtype'),
            'compile_backbone': cfg.get('compile_backbone'),
            'kernels': os.environ.get('SWIN_DENSE_KERNELS'),
        },
        'seeds': {
            'seed': randomness.get('seed') if seed is None else seed,
            'diff_rank_seed': randomness.get('diff_rank_seed', False),
            'deterministic': randomness.get('deterministic', False),
        },
        'evaluation': {
            'val_evaluator': _plain(cfg.get('val_evaluator')),
            'test_evaluator': _plain(cfg.get('test_evaluator')),
            'test pipeline': [
                settings.get('pipeline')
                for settings in _datasets(cfg.get('test_dataloader'))
            ],
        },
        'hooks': _plain(cfg.get('custom_hooks')),
        'versions': _versions(),
        'machine': _machine(),
    }
    return json.loads(json.dumps(certificate, default=_name_of))


def hash_weights(weights: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a state_dict: names, types, shapes, values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name]
        if isinstance(value, Tensor):
            value = value.detach().cpu().contiguous()
            digest.update(f'{name} {value.dtype} {list(value.shape)}'.encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[Difference]:
    """Return the differences of two certificates, in order of importance.

    What one of them does not know is no difference, and results are not
    compared.
    """
    names = [name for name in first if name not in ('format', 'result')]
    return [
        found
        for name in names
        for found in _differ(first[name], second.get(name), name)
    ]


def read_certificate(source: str | os.PathLike) -> dict[str, Any]:
    """Return the certificate of a run or config.

    Args:
        source: Work folder of a run, its `certificate.json`, a checkpoint of
            it, or path or name of a config.

    Raises:
        ValueError: If there is no certificate, or it is none of this version.
    """
    path = Path(source)
    if path.is_dir():
        path = path / NAME
        if not path.is_file():
            raise ValueError(
                f'{path} does not exist: {source} is no work folder of a '
                'training, or its training is older than certificates'
            )
    if path.suffix == '.json':
        try:
            content = json.loads(read_text(path))
        except json.JSONDecodeError as error:
            raise ValueError(f'{path} is not JSON: {error}') from error
    elif path.suffix in ('.pth', '.pt'):
        content = read_checkpoint(
            path, mmap=True, check=False, without=TRAINING_STATE
        ).get('certificate')
    else:
        return make_certificate(load_config(path))
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise ValueError(
            f'{path} holds no certificate of format {FORMAT}; expected the '
            'work folder of a training, its certificate.json, or a '
            'checkpoint that it saved'
        )
    return content


def _differ(first: Any, second: Any, name: str) -> Iterator[Difference]:
    if first is None or second is None:
        is_setting = first is not second and not name.endswith(
            ('weights', 'seed', 'processes', 'images per update')
        )
        if is_setting and not name.startswith('data'):
            yield Difference(name, first, second)
    elif isinstance(first, dict) and isinstance(second, dict):
        for key in dict.fromkeys((*first, *second)):
            yield from _differ(
                first.get(key), second.get(key), f'{name}.{key}'
            )
    elif (
        isinstance(first, list)
        and isinstance(second, list)
        and len(first) == len(second)
        and any(isinstance(entry, (dict, list)) for entry in first)
    ):
        for index, pair in enumerate(zip(first, second)):
            yield from _differ(*pair, f'{name}.{index}')
    elif first != second:
        yield Difference(name, first, second)


def _describe_data(loader: Any) -> list[dict[str, Any]]:
    """Return names and hashes of the files of all data sets of a loader."""
    return [_describe_dataset(settings) for settings in _datasets(loader)]


def _datasets(loader: Any) -> list[dict[str, Any]]:
    """Return the configs of the data sets of a loader."""
    dataset = (_plain(loader) or {}).get('dataset')
    if not isinstance(dataset, dict):
        return []
    return list(inner_settings(dataset))


def _describe_dataset(settings: Mapping[str, Any]) -> dict[str, Any]:
    root = Path(settings.get('data_root') or '')
    annotations = settings.get('ann_file') or None
    described = {
        'type': settings.get('type'),
        'annotations': annotations,
        'annotations hash': _hash_file(root / annotations)
        if isinstance(annotations, str)
        else None,
        'classes': (settings.get('metainfo') or {}).get('classes'),
    }
    for key, folder in (settings.get('data_prefix') or {}).items():
        if isinstance(folder, str):
            described[f'{key} files'] = _hash_names(root / folder)
    others = ('generate', 'filter_cfg', 'indices', 'times', 'test_mode')
    return {**described, **{key: settings.get(key) for key in others}}


def _hash_file(path: Path) -> str | None:
    """Return the SHA-256 of a file, None if there is no such file."""
    return sha256(path) if path.is_file() else None


def _hash_names(folder: Path) -> str | None:
    """Return a hash of the names in a folder, None if there is no folder."""
    if not folder.is_dir():
        return None
    names = sorted(entry.name for entry in os.scandir(folder))
    digest = hashlib.sha256('\0'.join(names).encode(errors='replace'))
    return f'{len(names)} files, {digest.hexdigest()[:16]}'


def _versions() -> dict[str, str | None]:
    """Return the versions of what computes."""
    versions: dict[str, str | None] = {
        'swin_dense': __version__,
        'python': platform.python_version(),
    }
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _machine() -> dict[str, Any]:
    """Return what of a machine changes results."""
    gpu = torch.cuda.is_available()
    return {
        'device': torch.cuda.get_device_name() if gpu else 'cpu',
        'cuda': torch.version.cuda if gpu else None,
        'cpu': torch.backends.cpu.get_cpu_capability(),
        'architecture': platform.machine(),
        'threads': torch.get_num_threads(),
    }


def _plain(value: Any) -> Any:
    """Return a config as plain dictionaries and lists."""
    if hasattr(value, 'to_dict'):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value


def _name_of(value: Any) -> str:
    """Return a name for what JSON cannot hold, such as a function."""
    name = getattr(value, '__qualname__', type(value).__qualname__)
    return f'{getattr(value, "__module__", "")}.{name}'


def _short(value: Any) -> str:
    if value is None:
        return 'not set'
    text = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
    return text if len(text) <= 100 else f'{text[:100]}...'
