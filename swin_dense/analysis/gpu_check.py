"""A check of the kernels on the GPU at hand: right, how fast, how much memory.

Each part is a function of a `Setting` that returns its figures. A part that
fails or takes too long leaves the others alone.
"""

import signal
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from swin_dense import kernels
from swin_dense.analysis.benchmark import (
    MEASURES,
    BenchmarkCase,
    make_tasks,
    synchronize,
    whole_model,
    whole_samples,
)
from swin_dense.backbones import (
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
)
from swin_dense.kernels import AttentionTerms
from swin_dense.ops import HARD_MASK_VALUE, SizeCache, WindowLayout
from swin_dense.ops.grid import Grid, format_size

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# Parts, in order, and the seconds that each may take at most.
LIMITS = {
    'versions': 20,
    'operator_parity': 60,
    'backbone_parity': 45,
    'detector_parity': 40,
    'operator_times': 70,
    'backbones': 85,
    'models': 80,
    'launches': 35,
    'sizes': 35,
}
NARROW: dict[str, Any] = dict(embed_dims=32, depths=(2, 2), num_heads=(1, 2))
# Of the losses of a detector. What a head samples may differ by rounding.
LOSS_TOLERANCES = {'float32': 0.01, 'float16': 0.1, 'bfloat16': 0.2}
# Largest difference from float64, over the largest value.
TOLERANCES = {'float32': 1e-4, 'float16': 1e-2, 'bfloat16': 6e-2}


class Setting(NamedTuple):
    """What is checked.

    Attributes:
        device: Device as torch names it.
        small: Whether sizes are those of a test rather than of a recipe.
        repeats: Timed runs, after one that is not.
    """

    device: str = 'cuda'
    small: bool = False
    repeats: int = 20

    @property
    def sets(self) -> list[str]:
        """Names of the kernels that work on the device."""
        x = torch.zeros(1, device=self.device)
        return [
            name
            for name, kernel_set in kernels.available().items()
            if kernel_set.refuses(x) is None
        ]

    @property
    def timed_sets(self) -> list[str]:
        """Names of the kernels to time: not Triton's interpreter, and one if
        small."""
        on_gpu = self.device.startswith('cuda')
        names = [name for name in self.sets if on_gpu or name != 'triton']
        return names[:1] if self.small else names

    @property
    def dtypes(self) -> list[torch.dtype]:
        """Types to check; Triton's interpreter has no right bfloat16."""
        narrow = [torch.float16]
        if self.device.startswith('cuda'):
            narrow.append(torch.bfloat16)
        return [torch.float32, *narrow]


class Attention(NamedTuple):
    """An attention to check or time: channels are 32 for each head."""

    grid: Grid
    window: Grid
    shift: Grid
    heads: int = 3
    cosine: bool = False
    batch: int = 2


PARITY_CASES = [
    Attention((15, 19), (7, 7), (3, 3)),
    Attention((15, 19), (8, 8), (4, 4), 2, True),
    Attention((13, 25), (12, 12), (6, 6), 2),
    Attention((17, 16), (16, 16), (8, 0), 1, True),
    Attention((8, 8, 7), (8, 7, 7), (0, 3, 0), 1),
]
TIMED_CASES = [
    Attention((200, 336), (7, 7), (3, 3)),
    Attention((200, 336), (8, 8), (4, 4), 3, True),
    Attention((200, 336), (12, 12), (6, 6), 4),
    Attention((200, 336), (16, 16), (8, 8), 3, True),
    Attention((8, 56, 56), (8, 7, 7), (0, 3, 3), 3, False, 4),
]


def versions(setting: Setting) -> dict[str, Any]:
    """Return versions, the device, and why a set of kernels is not used."""
    x = torch.zeros(1, device=setting.device)
    figures: dict[str, Any] = {'torch': torch.__version__, 'triton': None}
    try:
        import triton

        figures['triton'] = triton.__version__
    except ImportError:
        pass
    if setting.device.startswith('cuda'):
        properties = torch.cuda.get_device_properties(setting.device)
        figures.update(
            device=properties.name,
            cuda=torch.version.cuda,
            multiprocessors=properties.multi_processor_count,
            memory=properties.total_memory,
        )
    figures['kernels'] = {
        name: kernel_set.refuses(x) or 'works'
        for name, kernel_set in kernels.available().items()
    }
    figures['chosen'] = kernels.choose(x).name
    return figures


def _attend(
    case: Attention, name: str, dtype: torch.dtype, device: str
) -> tuple[Callable[[], Tensor], list[Tensor]]:
    """Return an attention, and the inputs that it has gradients of."""
    generator = torch.Generator().manual_seed(0)
    channels, tokens = 32 * case.heads, prod(case.window)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    wide = torch.promote_types(dtype, torch.float32)
    inputs = [
        draw(case.batch, *case.grid, 3 * channels).to(dtype),
        draw(case.heads, tokens, tokens).to(wide),
        draw(3 * channels).to(wide),
    ]
    if case.cosine:
        inputs.append(draw(case.heads, 1, 1).exp().to(wide))
    inputs = [x.requires_grad_() for x in inputs]
    qkv, bias, padding, *cosine = inputs
    terms = AttentionTerms(
        bias,
        padding,
        1.0 if case.cosine else 32**-0.5,
        cosine[0] if cosine else None,
    )
    layout = WindowLayout(
        case.grid,
        case.window,
        case.shift,
        'roll',
        case.cosine,
        HARD_MASK_VALUE if case.cosine else -100.0,
    )
    kernel_set = kernels.available()[name](SizeCache())
    return partial(kernel_set.window_attention, qkv, layout, terms), inputs


def _difference(result: Tensor, expected: Tensor) -> float:
    scale = expected.abs().max().clamp(min=1e-6)
    return ((result.double() - expected).abs().max() / scale).item()


def operator_parity(setting: Setting) -> Iterator[dict[str, Any]]:
    """Compare attention and all its gradients with plain float64."""
    for case in PARITY_CASES[:2] if setting.small else PARITY_CASES:
        if setting.small:
            case = case._replace(batch=1, heads=1, grid=(9, 8))
        channels = 32 * case.heads
        grad = torch.linspace(-1, 1, case.batch * prod(case.grid) * channels)
        for dtype in setting.dtypes:
            outputs: dict[str, list] = {}
            for name in ('exact', *setting.sets):
                kind = torch.float64 if name == 'exact' else dtype
                attend, inputs = _attend(
                    case,
                    'plain' if name == 'exact' else name,
                    kind,
                    setting.device,
                )
                if name == 'exact':  # of the same numbers
                    with torch.no_grad():
                        inputs[0].copy_(inputs[0].to(dtype))
                out = attend()
                out.backward(grad.view(out.shape).to(out))
                outputs[name] = [out, *[x.grad for x in inputs]]
            exact = outputs.pop('exact')
            for name, results in outputs.items():
                worst = max(map(_difference, results, exact))
                tolerance = TOLERANCES[str(dtype)[6:]]
                yield dict(
                    window=format_size(case.window),
                    dtype=str(dtype)[6:],
                    kernels=name,
                    worst=worst,
                    passed=worst < tolerance,
                )


def _backbones(small: bool) -> dict[str, tuple[torch.nn.Module, Grid]]:
    """Return small backbones, and the sizes of their inputs."""
    size = (42, 50) if small else (122, 150)
    outputs: dict[str, Any] = dict(out_indices=(0, 1), drop_path_rate=0.0)
    return {
        'V1': (SwinTransformer(**NARROW, **outputs), size),
        'V2': (SwinTransformerV2(arch=NARROW, **outputs), size),
        'video': (
            SwinTransformer3D(arch=NARROW, window_size=(4, 7, 7), **outputs),
            (5, *size),
        ),
    }


def backbone_parity(setting: Setting) -> Iterator[dict[str, Any]]:
    """Compare a training step of backbones with plain kernels in float32."""
    for model_name, (model, size) in _backbones(setting.small).items():
        model.to(setting.device).train()
        torch.manual_seed(0)
        x = torch.randn(1, 3, *size, device=setting.device)

        def step(
            name: str,
            dtype: torch.dtype,
            model: torch.nn.Module = model,
            x: Tensor = x,
        ) -> list[Tensor]:
            model.zero_grad()
            cast = torch.autocast(
                torch.device(setting.device).type,
                dtype,
                enabled=dtype != torch.float32,
            )
            with kernels.use(name), cast:
                outputs = model(x)
                sum(out.float().square().sum() for out in outputs).backward()
            grads = [
                p.grad.clone()
                for p in model.parameters()
                if p.grad is not None
            ]
            return [outputs[-1].detach(), *grads]

        exact = [x.double() for x in step('plain', torch.float32)]
        names = [name for name in setting.timed_sets if name != 'plain']
        for dtype in setting.dtypes:
            for name in names:
                results = step(name, dtype)
                out = _difference(results[0], exact[0])
                yield dict(
                    model=model_name,
                    dtype=str(dtype)[6:],
                    kernels=name,
                    output=out,
                    gradients=statistics.median(
                        map(_difference, results[1:], exact[1:])
                    ),
                    passed=out < 2 * TOLERANCES[str(dtype)[6:]],
                )


def detector_parity(setting: Setting) -> Iterator[dict[str, Any]]:
    """Compare a training step of Mask R-CNN with plain kernels in float32."""
    case = BenchmarkCase(
        config=str(CONFIGS / 'mask_rcnn_swin_nano_shapes.py'),
        shape=(64, 96) if setting.small else (416, 608),
        device=setting.device,
    )
    torch.manual_seed(0)
    model: Any = whole_model(case, 'ours').to(setting.device).train()
    # All are sampled, so that chance chooses none.
    for sampler in (model.rpn_head.sampler, model.roi_head.bbox_sampler):
        sampler.num = 10**6
    samples = whole_samples(case)
    x = torch.randn(case.size, device=setting.device)

    def step(name: str, dtype: torch.dtype) -> dict[str, float]:
        model.zero_grad()
        cast = torch.autocast(
            torch.device(setting.device).type,
            dtype,
            enabled=dtype != torch.float32,
        )
        with kernels.use(name), cast:
            total, losses = model.parse_losses(model.loss(x, samples))
        total.backward()
        norm = torch.nn.utils.get_total_norm(
            [p.grad for p in model.parameters() if p.grad is not None]
        )
        found = {key: x for key, x in losses.items() if 'loss' in key}
        return {key: x.item() for key, x in {**found, 'norm': norm}.items()}

    exact = step('plain', torch.float32)
    for dtype in setting.dtypes:
        kind = str(dtype)[6:]
        for name in setting.timed_sets:
            found = step(name, dtype)
            worst = max(
                abs(found[key] - value) / max(abs(value), 0.1)
                for key, value in exact.items()
                if key != 'norm'
            )
            yield dict(
                dtype=kind,
                kernels=name,
                loss=found['loss'],
                expected=exact['loss'],
                norm=found['norm'],
                worst=worst,
                passed=worst < LOSS_TOLERANCES[kind]
                and 0 < found['norm'] < float('inf'),
            )


def measure(task: Callable[[], Any], setting: Setting) -> dict[str, float]:
    """Return the median time in milliseconds, and MiB that a run adds."""
    device, on_gpu = setting.device, setting.device.startswith('cuda')
    task()
    synchronize(device)
    figures = {}
    if on_gpu:
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    times = []
    for _ in range(setting.repeats):
        start = time.perf_counter()
        task()
        synchronize(device)
        times.append(time.perf_counter() - start)
    figures['ms'] = 1000 * statistics.median(times)
    if on_gpu:
        peak = torch.cuda.max_memory_allocated(device) - before
        figures['mib'] = peak / 2**20
    return figures


def operator_times(setting: Setting) -> Iterator[dict[str, Any]]:
    """Time attention, forward and with its backward pass, by each set."""
    dtype = setting.dtypes[-1]
    for case in TIMED_CASES[:1] if setting.small else TIMED_CASES:
        if setting.small:
            case = case._replace(grid=(14, 14), batch=1, heads=1)
        for name in setting.timed_sets:
            attend, inputs = _attend(case, name, dtype, setting.device)

            def forward(attend: Callable = attend) -> None:
                with torch.no_grad():
                    attend()

            def both(attend: Callable = attend, inputs: list = inputs) -> None:
                torch.autograd.grad(
                    attend().float().sum(), inputs, allow_unused=True
                )

            for part, task in (('forward', forward), ('both', both)):
                yield dict(
                    window=format_size(case.window),
                    kernels=name,
                    part=part,
                    **measure(task, setting),
                )


def _cases(setting: Setting) -> dict[str, BenchmarkCase]:
    """Return backbones to measure beside their hosts'."""
    case = BenchmarkCase(
        shape=(64, 96) if setting.small else (800, 1344),
        batch=1 if setting.small else 2,
        dtype=str(setting.dtypes[-1])[6:],
        device=setting.device,
    )
    clip = case._replace(
        shape=(64, 64) if setting.small else (224, 224),
        frames=4 if setting.small else 32,
    )
    return {
        'Swin-T': case,
        'Swin-B': case._replace(arch='base', window=12),
        'Swin V2-T, window 8': case._replace(v2_peer='mmpretrain', window=8),
        'Swin V2-T, window 16': case._replace(v2_peer='mmpretrain', window=16),
        'Video Swin-T': clip,
    }


def _beside_the_host(
    case: BenchmarkCase, setting: Setting, label: str
) -> Iterator[dict[str, Any]]:
    names = [name for name in setting.timed_sets if name != 'plain']
    for owner in ('ours', 'peer'):
        tasks = make_tasks(case, owner)
        for name in names if owner == 'ours' else names[:1]:
            for part in MEASURES:
                with kernels.use(name):
                    figures = measure(tasks[part], setting)
                yield dict(
                    model=label,
                    kernels=name if owner == 'ours' else 'host',
                    part=part,
                    **figures,
                )
        del tasks


def backbones(setting: Setting) -> Iterator[dict[str, Any]]:
    """Measure backbones beside the hosts' in mixed precision."""
    cases = _cases(setting)
    for label in list(cases)[:1] if setting.small else cases:
        yield from _beside_the_host(cases[label], setting, label)


def models(setting: Setting) -> Iterator[dict[str, Any]]:
    """Measure a detector, a segmentor and a recognizer beside the hosts'."""
    # Config: size of an image, and frames of a clip.
    sizes: dict[str, tuple[Grid, int | None]] = {
        'mask_rcnn_swin_t_coco': ((800, 1344), None),
        'upernet_swin_t_ade20k': ((512, 512), None),
        'video_swin_t_k400': ((224, 224), 32),
    }
    if setting.small:
        sizes = {
            'mask_rcnn_swin_nano_shapes': ((64, 96), None),
            'upernet_swin_nano_shapes': ((64, 64), None),
            'video_swin_nano_shapes': ((48, 48), 8),
        }
    for name, (shape, frames) in sizes.items():
        case = BenchmarkCase(
            config=str(CONFIGS / f'{name}.py'),
            shape=shape,
            frames=frames,
            batch=1 if setting.small else 2,
            dtype=str(setting.dtypes[-1])[6:],
            device=setting.device,
        )
        yield from _beside_the_host(case, setting, name)


def launches(setting: Setting) -> Iterator[dict[str, Any]]:
    """Count kernels that a training step starts, and waits of the CPU."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if setting.device.startswith('cuda'):
        activities.append(ProfilerActivity.CUDA)
    tasks = make_tasks(_cases(setting)['Swin-T'], 'ours')
    for name in (
        setting.timed_sets[:1] if setting.small else setting.timed_sets
    ):
        with kernels.use(name):
            for _ in range(2):
                tasks[MEASURES[1]]()
            synchronize(setting.device)
            with profile(activities=activities) as profiler:
                tasks[MEASURES[1]]()
                synchronize(setting.device)
        counts = {event.key: event.count for event in profiler.key_averages()}
        yield dict(
            kernels=name,
            operations=sum(
                n for key, n in counts.items() if key.startswith('aten::')
            ),
            launches=sum(n for k, n in counts.items() if 'LaunchKernel' in k),
            # One of them is the measurement's.
            waits=sum(
                n
                for key, n in counts.items()
                if key in ('cudaStreamSynchronize', 'cudaDeviceSynchronize')
            ),
        )


def sizes(setting: Setting) -> Iterator[dict[str, Any]]:
    """Run a backbone on images of many sizes, and on very many windows."""
    model = SwinTransformer(drop_path_rate=0.0).to(setting.device).eval()
    count, step = (2, 16) if setting.small else (20, 32)
    first = 64 if setting.small else 480
    for name in (
        setting.timed_sets[:1] if setting.small else setting.timed_sets
    ):
        start = time.perf_counter()
        for number in range(count):
            size = first + step * number
            x = torch.randn(1, 3, size, size + step, device=setting.device)
            with kernels.use(name), torch.no_grad():
                model(x)
        synchronize(setting.device)
        yield dict(
            kernels=name,
            sizes=count,
            ms_per_image=1000 * (time.perf_counter() - start) / count,
        )
    case = Attention((7, 7), (7, 7), (0, 0), 1, False, 70_000)
    if setting.small:
        case = case._replace(batch=10)
    for name in setting.sets:
        attend, _ = _attend(case, name, setting.dtypes[-1], setting.device)
        out = attend()
        yield dict(
            kernels=name,
            windows=case.batch,
            passed=bool(out.isfinite().all().item()),
        )


PARTS: dict[str, Callable[[Setting], Any]] = {
    part.__name__: part
    for part in (
        versions,
        operator_parity,
        backbone_parity,
        detector_parity,
        operator_times,
        backbones,
        models,
        launches,
        sizes,
    )
}


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after some seconds."""

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError(f'took more than {seconds:.0f} s')

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check(
    setting: Setting,
    names: list[str],
    report: Callable[[str], None],
    seconds: float,
) -> dict[str, Any]:
    """Run parts of the check, each under an alarm of its own.

    Args:
        setting: What is checked.
        names: The parts, of `PARTS`.
        report: Called with a line for each figure, at once.
        seconds: Time for all of them.

    Returns:
        Figures of each part, `{'rows': [...], 'seconds': s}`, and `error`
        where the part did not end well.
    """
    end = time.perf_counter() + seconds
    results: dict[str, Any] = {}
    for name in names:
        report(f'== {name}')
        start = time.perf_counter()
        rows: list[dict] = []
        results[name] = {'rows': rows}
        scale = 10.0 if setting.small else 1.0
        limit = min(LIMITS[name] * scale, end - start)
        try:
            if limit <= 0:
                raise TimeoutError('no time is left')
            with _alarm(limit):
                figures = PARTS[name](setting)
                for row in [figures] if isinstance(figures, dict) else figures:
                    rows.append(row)
                    report(format_row(row))
        except Exception as error:  # whatever it is, the next part may work
            results[name]['error'] = f'{type(error).__name__}: {error}'
            report(f'FAILED: {results[name]["error"]}')
            report(traceback.format_exc(limit=-3, chain=False))
        results[name]['seconds'] = round(time.perf_counter() - start, 1)
    return results


def format_row(row: dict[str, Any]) -> str:
    """Return a row as `name value, ...`."""
    return ', '.join(
        f'{key} {value:.3g}' if isinstance(value, float) else f'{key} {value}'
        for key, value in row.items()
    )


def failures(results: dict[str, Any]) -> list[str]:
    """Return a line for each part or row that failed."""
    lines = []
    for name, part in results.items():
        if 'error' in part:
            lines.append(f'{name}: {part["error"]}')
        for row in part['rows']:
            if row.get('passed') is False:
                lines.append(f'{name}: {format_row(row)}')
    return lines
