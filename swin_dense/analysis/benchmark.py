"""Time and peak memory of models, side by side in one run."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from torch import Tensor, nn

from swin_dense.analysis.matrix_products import products_of
from swin_dense.backbones.host_arguments import drop_pretrained
from swin_dense.engine.process_memory import free_memory, reset_peak, status
from swin_dense.sizes import SWIN, SWIN_V2

# This module, also when it runs as `__main__`.
_MODULE = 'swin_dense.analysis.benchmark'
MEASURES = ('forward', 'forward + backward')


class BenchmarkCase(NamedTuple):
    """A model, its input and the way it is measured.

    Attributes:
        arch: Size of the backbone; unused with a config.
        config: Model to measure whole; None for the backbone alone.
        shape: Height and width of the input, in pixels.
        batch: Images per run.
        dtype: Name of a floating type of torch; other than float32, the type
            of autocast.
        device: Device as torch names it.
        window: Window size in tokens; unused with a config.
        repeats: Timed runs, after one run that is not timed.
        frames: Frames of a clip, for Video Swin with windows of 8 tokens in
            time; None for images.
        v2_peer: Peer of Swin V2, `mmpretrain` or `transformers`; None for V1.
        with_cp: Whether our V2 recomputes activations.
        sequential: Whether our V2 works on a few windows at a time.
        busy: Processes that keep the machine busy, see `other_programs`.
    """

    arch: str = 'tiny'
    config: str | None = None
    shape: tuple[int, ...] = (800, 1333)
    batch: int = 1
    dtype: str = 'float32'
    device: str = 'cpu'
    window: int = 7
    repeats: int = 5
    frames: int | None = None
    v2_peer: str | None = None
    with_cp: bool = False
    sequential: bool = False
    busy: int = 0

    @property
    def size(self) -> tuple[int, ...]:
        """Size of the input, (B, 3, H, W) or (B, 3, T, H, W)."""
        frames = (self.frames,) if self.frames else ()
        return (self.batch, 3, *frames, *self.shape)

    @property
    def peer(self) -> str:
        """Package whose implementation is measured beside ours."""
        return self.v2_peer or ('mmaction2' if self.frames else 'mmdet')


class Measurement(NamedTuple):
    """A measurement of this package and of a peer, in seconds or bytes."""

    quantity: str
    ours: float
    peer: float | None

    @property
    def ratio(self) -> float | None:
        """Our figure divided by the peer's; None without a peer."""
        return self.ours / self.peer if self.peer else None


def _backbone(case: BenchmarkCase, name: str) -> nn.Module:
    """Return our or the peer's backbone, without stochastic depth."""
    if case.frames:
        return _video_backbone(case, name)
    if case.v2_peer:
        return _v2_backbone(case, name)
    from swin_dense.backbones.swin import SwinTransformer

    build: Callable[..., nn.Module] = SwinTransformer
    if name != 'ours':
        from mmdet.models.backbones import swin

        build = swin.SwinTransformer
    return build(
        **SWIN[case.arch], window_size=case.window, drop_path_rate=0.0
    )


def _video_backbone(case: BenchmarkCase, name: str) -> nn.Module:
    """Return our or mmaction2's Video Swin."""
    from swin_dense.backbones.video_swin import SwinTransformer3D

    build: Callable[..., nn.Module] = SwinTransformer3D
    if name != 'ours':
        from mmaction.models import backbones

        build = backbones.SwinTransformer3D
    window = (8, case.window, case.window)
    return build(case.arch, window_size=window, drop_path_rate=0.0)


def _v2_backbone(case: BenchmarkCase, name: str) -> nn.Module:
    """Return our Swin V2, mmpretrain's or that of transformers."""
    if name != 'ours' and case.v2_peer == 'transformers':
        return _HuggingFaceV2(case)
    from swin_dense.backbones.swin_v2 import SwinTransformerV2

    build: Callable[..., nn.Module] = SwinTransformerV2
    options: dict[str, Any] = dict(
        with_cp=case.with_cp, sequential_attention=case.sequential
    )
    if name != 'ours':
        from mmpretrain.models.backbones import swin_transformer_v2

        build = swin_transformer_v2.SwinTransformerV2
        options = dict(out_indices=(0, 1, 2, 3), pad_small_map=True)
    return build(
        case.arch, window_size=case.window, drop_path_rate=0.0, **options
    )


class _HuggingFaceV2(nn.Module):
    """Hugging Face's Swin V2 with the outputs of the other backbones."""

    def __init__(self, case: BenchmarkCase) -> None:
        from transformers import Swinv2Backbone, Swinv2Config

        super().__init__()
        sizes = SWIN_V2[case.arch]
        self.model: Any = Swinv2Backbone(
            Swinv2Config(  # type: ignore[call-arg]
                image_size=list(case.shape),
                embed_dim=sizes['embed_dims'],
                depths=sizes['depths'],
                num_heads=sizes['num_heads'],
                window_size=case.window,
                drop_path_rate=0.0,
                out_indices=[1, 2, 3, 4],
            )
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.model(x).feature_maps


# Scope of a config: module whose import registers the host's types, and the
# backbone that is replaced in the peer's model.
_HOSTS = {
    'mmdet': ('mmdet.utils', 'mmdet.SwinTransformer'),
    'mmseg': ('mmseg.utils', 'mmseg.SwinTransformer'),
    'mmaction': ('mmaction.utils', 'mmaction.SwinTransformer3D'),
}


def whole_model(case: BenchmarkCase, name: str) -> nn.Module:
    """Build the model of a config, with its own or the host's backbone.

    Both have the same weights, so they predict the same objects.
    """
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS, init_default_scope

    config = Config.fromfile(case.config)
    scope = config.get('default_scope', 'mmdet')
    utilities, peer = _HOSTS[scope]
    import_module(utilities).register_all_modules(False)
    init_default_scope(scope)
    model = config.model
    backbone = model.backbone
    drop_pretrained(model)
    for part in backbone.get('backbones', [backbone]):
        part.drop_path_rate = 0.0
    if name != 'ours':
        backbone.type = peer
        if scope != 'mmaction':
            arch = backbone.pop('arch', None)
            backbone.update({**SWIN.get(arch, {}), **backbone})
    model.data_preprocessor = None
    torch.manual_seed(0)
    network: Any = revert_sync_batchnorm(MODELS.build(model))
    # Some parameters of mmdet are uninitialised memory until then.
    network.init_weights()
    if name != 'ours':
        _copy_weights(whole_model(case, 'ours'), network, scope)
    return network


def _copy_weights(ours: nn.Module, peer: nn.Module, scope: str) -> None:
    """Give the host's model the weights of ours."""
    from swin_dense.checkpoints.layouts.export import export

    prefix = 'backbone.'
    weights = ours.state_dict()
    native = {
        name.removeprefix(prefix): weights.pop(name)
        for name in list(weights)
        if name.startswith(prefix)
    }
    target = 'mmaction' if scope == 'mmaction' else 'mmdet'
    for name, value in export(native, target).items():
        weights[prefix + name] = value
    peer.load_state_dict(weights, strict=False)


def whole_samples(case: BenchmarkCase) -> list:
    """Return data samples for the model of a config."""
    scope = Config.fromfile(case.config).get('default_scope', 'mmdet')
    if scope == 'mmaction':
        from mmaction.structures import ActionDataSample

        return [ActionDataSample().set_gt_label(0) for _ in range(case.batch)]
    samples = make_samples(case, 1)
    if scope == 'mmseg':
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        segments = []
        for sample in samples:
            segments.append(SegDataSample(metainfo=sample.metainfo))
            labels = sample.gt_sem_seg.sem_seg
            segments[-1].gt_sem_seg = PixelData(data=labels.long())
        return segments
    return samples


def make_samples(case: BenchmarkCase, classes: int) -> list:
    """Return data samples with three boxes and masks, and a label map."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    height, width = case.shape
    boxes = torch.tensor(
        [[0.1, 0.1, 0.4, 0.5], [0.3, 0.2, 0.9, 0.6], [0.5, 0.5, 0.7, 0.95]]
    )
    boxes = boxes * torch.tensor([width, height, width, height])
    masks = torch.zeros(len(boxes), height, width, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist()):
        mask[top:bottom, left:right] = 1
    samples = []
    for _ in range(case.batch):
        sample = DetDataSample(
            metainfo=dict(
                img_shape=case.shape,
                ori_shape=case.shape,
                pad_shape=case.shape,
                batch_input_shape=case.shape,
                scale_factor=(1.0, 1.0),
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=boxes.to(case.device),
            labels=(torch.arange(len(boxes)) % classes).to(case.device),
            masks=BitmapMasks(masks.numpy(), height, width),
        )
        sample.gt_sem_seg = PixelData(
            sem_seg=masks.amax(0, keepdim=True).to(case.device)
        )
        samples.append(sample)
    return samples


def make_tasks(
    case: BenchmarkCase, name: str
) -> dict[str, Callable[[], None]]:
    """Return the function to measure for each of `MEASURES`.

    Args:
        case: The benchmark case.
        name: `ours` for the model of this package, or `peer`.
    """
    torch.manual_seed(0)
    x = torch.randn(case.size, device=case.device)
    if case.config is None:
        model: Any = _backbone(case, name).to(case.device)
        predict: Callable = model

        def loss() -> Tensor:
            return sum(out.float().mean() for out in model(x))
    else:
        model = whole_model(case, name).to(case.device)
        samples = whole_samples(case)
        if case.frames:
            x = x[:, None]  # (B, clips, 3, T, H, W)

        def predict(x: Tensor) -> list:
            if hasattr(model, 'roi_head') or hasattr(model, 'bbox_head'):
                return model.predict(x, samples, rescale=False)
            return model.predict(x, samples)

        def loss() -> Tensor:
            losses = model.loss(x, samples)
            return model.parse_losses(losses)[0]

    cast = partial(
        torch.autocast,
        torch.device(case.device).type,
        getattr(torch, case.dtype),
        enabled=case.dtype != 'float32',
    )

    def forward() -> None:
        model.eval()
        with torch.no_grad(), cast():
            predict(x)

    def step() -> None:
        model.train()
        with cast():
            total = loss()
        total.backward()
        model.zero_grad(set_to_none=True)

    return dict(zip(MEASURES, (forward, step)))


def synchronize(device: str) -> None:
    """Wait until a device has finished its work."""
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)


# Reads and writes 16 MiB without end: more than a core's share of a cache.
_OTHER_PROGRAM = (
    'import numpy\nnumbers = numpy.ones(2**22, numpy.float32)\n'
    'while True:\n    numbers *= 1'
)


@contextmanager
def other_programs(count: int) -> Iterator[None]:
    """Run processes that keep the processors and their caches busy.

    A model is seldom alone on a machine: processes load data, and other
    programs run.

    Args:
        count: Number of processes; each keeps one processor busy.
    """
    command = [sys.executable, '-c', _OTHER_PROGRAM]
    # One thread each, whatever number numpy's library would start.
    processes = [
        subprocess.Popen(command, env={**os.environ, 'OMP_NUM_THREADS': '1'})
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _seconds(task: Callable[[], None], device: str) -> float:
    synchronize(device)
    start = time.perf_counter()
    task()
    synchronize(device)
    return time.perf_counter() - start


def peak_bytes(case: BenchmarkCase, name: str, quantity: str) -> float:
    """Return the peak memory that one run adds to the model's, in bytes.

    On a CPU this is resident memory of the process (Linux only), so call it
    in a fresh process.

    Raises:
        OSError: If the system does not report the memory.
    """
    task = make_tasks(case, name)[quantity]
    if torch.device(case.device).type == 'cuda':
        task()
        before = torch.cuda.memory_allocated(case.device)
        torch.cuda.reset_peak_memory_stats(case.device)
        task()
        return torch.cuda.max_memory_allocated(case.device) - before
    # A first run on a small input loads libraries and fills caches.
    small = case._replace(shape=(64, 64), batch=1)
    make_tasks(small, name)[quantity]()
    free_memory()
    reset_peak()
    before = status('VmRSS')
    task()
    return status('VmHWM') - before


def _peak_in_child(case: BenchmarkCase, name: str, quantity: str) -> float:
    """Run `peak_bytes` in a fresh process.

    Raises:
        OSError: If the process fails.
    """
    command = [
        *(sys.executable, '-W', 'ignore', '-m', _MODULE, '--child'),
        *(json.dumps(case._asdict()), name, quantity),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(
            f'the memory of {name} could not be measured:\n'
            f'{done.stderr.strip()[-2000:]}'
        )
    return float(done.stdout.split()[-1])


def measure(
    case: BenchmarkCase,
    peer: bool = True,
    memory: bool = True,
    times: bool = True,
    products: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Measurement]:
    """Measure time and peak memory of our model and the peer's.

    The two are timed in turn, so that a change of the machine's speed affects
    both. The median of the repeats counts.

    Args:
        case: The benchmark case.
        peer: Whether to measure the peer's backbone beside ours.
        memory: Whether to measure memory.
        times: Whether to measure times.
        products: Whether to time the matrix products of the peer's model
            alone, too: no implementation can take less time.
        progress: Called with a line for each finished measurement.

    Raises:
        ImportError: If the peer is to be measured and cannot be imported.
        ValueError: If products are to be timed without a peer or times, or
            not on the CPU.
    """
    if products and not (peer and times and case.device == 'cpu'):
        raise ValueError(
            'matrix products are timed on the CPU beside another '
            'implementation; leave out --products, or --alone, --no-time and '
            '--device'
        )
    names: Sequence[str] = ('ours', 'peer') if peer else ('ours',)
    rows = []

    def add(quantity: str, values: dict[str, float]) -> None:
        rows.append(Measurement(quantity, values['ours'], values.get('peer')))
        progress(format_rows(rows[-1:]).splitlines()[-1])

    if times:
        try:
            tasks = {name: make_tasks(case, name) for name in names}
        except ImportError as error:
            raise ImportError(
                f'{case.peer} cannot be imported: {error}; install it, or '
                'measure only swin_dense with --alone'
            ) from error
        if products:
            tasks['products'] = {
                quantity: products_of(task)
                for quantity, task in tasks['peer'].items()
            }
        for quantity in MEASURES:
            seconds: dict[str, list[float]] = {name: [] for name in tasks}
            with other_programs(case.busy):
                for repeat in range(case.repeats + 1):
                    for name in tasks:
                        taken = _seconds(tasks[name][quantity], case.device)
                        if repeat:
                            seconds[name].append(taken)
            medians = {
                name: statistics.median(values)
                for name, values in seconds.items()
            }
            add(f'{quantity}, time', medians)
            if products:
                alone = dict(ours=medians['products'], peer=medians['peer'])
                add(f'{quantity}, matrix products alone', alone)
    if memory:
        for quantity in MEASURES:
            add(
                f'{quantity}, peak memory',
                {name: _peak_in_child(case, name, quantity) for name in names},
            )
    return rows


def _show(value: float | None, quantity: str) -> str:
    if value is None:
        return '-'
    if quantity.endswith('memory'):
        return f'{value / 2**20:.0f} MiB'
    return f'{value * 1000:.1f} ms'


def format_rows(rows: Sequence[Measurement], peer: str = 'mmdet') -> str:
    """Return a Markdown table of the measurements beside a peer's."""
    lines = [f'| | swin_dense | {peer} | ratio |', '| --- | --: | --: | --: |']
    for row in rows:
        ratio = '-' if row.ratio is None else f'{row.ratio:.2f}'
        lines.append(
            f'| {row.quantity} | {_show(row.ours, row.quantity)} | '
            f'{_show(row.peer, row.quantity)} | {ratio} |'
        )
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the peak memory of one run, for the process that asks for it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        '--child',
        nargs=3,
        required=True,
        metavar=('CASE', 'NAME', 'QUANTITY'),
        help='a benchmark case as JSON, "ours" or "peer", and one of '
        f'{", ".join(MEASURES)}',
    )
    fields, name, quantity = parser.parse_args(argv).child
    case = BenchmarkCase(**json.loads(fields))
    print(peak_bytes(case._replace(shape=tuple(case.shape)), name, quantity))
    return 0


if __name__ == '__main__':
    sys.exit(main())
