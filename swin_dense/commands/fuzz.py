"""Damage small files at random, and check that each is read or refused.

The readers of this package must return the content of a file, or raise an
error with the path of the file, within limits of time and memory. A file that
causes a crash, another error or a timeout is saved.
"""

import argparse
import copy
import io
import json
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.engine import cli
from swin_dense.wording import counted

# Values that replace numbers and other values in JSON.
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**12,
    10**400,
    1e308,
    float('nan'),
    float('inf'),
    'x',
    '',
    '\ud800',
    [],
    {},
    [[]],
    [1, 2, 3],
    {'counts': [5], 'size': [10**6, 10**6]},
    {'counts': 'PP', 'size': [24, 32]},
)
ODD_BYTES = (
    b'\x00',
    b'\xff',
    b'\x7f\xff\xff\xff',
    b'\xff\xff\xff\xff',
    b'\x80\x00\x00\x00',
    b'\x00\x00\x00\x00',
    b'\xff' * 8,
)
# Placeholder in JSON for deeply nested lists: `json.dumps` would overflow the
# stack.
NESTED = '@nested@'
HEIGHT, WIDTH = 24, 32
# Memory that a process may use in addition to that at its start, in bytes.
MEMORY_LIMIT = 4 * 2**30


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense fuzz --seconds 600 --kinds image clip --out failures/',
    )
    parser.add_argument(
        '--seconds',
        type=float,
        default=60,
        help='duration for all kinds together (default: 60)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the damage (default: 0)'
    )
    parser.add_argument(
        '--kinds',
        nargs='+',
        choices=list(KINDS),
        default=list(KINDS),
        help='kinds of files (default: all)',
    )
    parser.add_argument(
        '--limit',
        type=float,
        default=10,
        metavar='SECONDS',
        help='time limit for reading a file (default: 10)',
    )
    parser.add_argument(
        '--out',
        default='fuzz_failures',
        metavar='DIR',
        help='folder for files that cause failures (default: fuzz_failures)',
    )
    cli.add_debug_argument(parser)
    return parser


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy with changed, removed or inserted bytes."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        at = int(rng.integers(len(data)))
        # Prefer headers, which contain sizes.
        at = at % 64 if rng.random() < 0.3 else at
        end = at + int(rng.integers(1, 1 + min(64, len(data))))
        kind = rng.integers(6)
        if kind == 0:
            data[min(at, len(data) - 1)] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            odd = ODD_BYTES[rng.integers(len(ODD_BYTES))]
            data[at : at + len(odd)] = odd
        elif kind == 2:
            del data[at:end]
        elif kind == 3:
            data[at:at] = data[at:end]
        elif kind == 4:
            data[at:at] = rng.bytes(end - at)
        else:
            del data[at:]
    return bytes(data)


def damage_json(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy of JSON with replaced values or damaged text."""
    if rng.random() < 0.2:
        return damage(content, rng)
    data = json.loads(content)
    for _ in range(rng.integers(1, 3)):
        node, key = _choose_value(data, rng)
        kind = rng.integers(4)
        if kind == 0:
            del node[key]
        elif kind == 1:
            node[key] = NESTED
        else:
            node[key] = copy.deepcopy(
                ODD_VALUES[rng.integers(len(ODD_VALUES))]
            )
    depth = int(rng.choice([3, 50, 900, 20_000]))
    nested = '[' * depth + '7' + ']' * depth
    return json.dumps(data).replace(f'"{NESTED}"', nested).encode()


def _choose_value(data: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return a random list or dict in parsed JSON, and a key in it."""
    values = list(_walk_values(data))
    return values[rng.integers(len(values))]


def _walk_values(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each value in parsed JSON as its list or dict and its key."""
    keys = (
        list(node)
        if isinstance(node, dict)
        else range(len(node))
        if isinstance(node, list)
        else ()
    )
    for key in keys:
        yield node, key
        yield from _walk_values(node[key])


class Kind:
    """Files of one format, and the reader for them.

    Args:
        folder: Folder for the damaged file and the files that it needs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def samples(self) -> dict[str, bytes]:
        """Return the content of valid files by name."""
        raise NotImplementedError

    def read(self, path: Path) -> None:
        """Read a file.

        Raises:
            ValueError: If the file is refused; the message has its path.
            AssertionError: If the content that was read is impossible.
        """
        raise NotImplementedError

    def damage(self, content: bytes, rng: np.random.Generator) -> bytes:
        """Return a damaged copy of the content."""
        return damage(content, rng)


class Annotations(Kind):
    """COCO annotation files."""

    def samples(self) -> dict[str, bytes]:
        """See `Kind`."""
        from pycocotools import mask as coco_mask

        for name in ('1.png', '2.png'):
            cli.write_image(self.folder / name, _pixels())
        ring = [2, 3, 12, 3, 12, 11, 2, 11]
        rle = coco_mask.frPyObjects([ring], HEIGHT, WIDTH)[0]
        rle['counts'] = rle['counts'].decode()
        common = dict(image_id=1, category_id=3, bbox=[2, 3, 10, 8], area=80)
        annotations = [
            dict(common, id=1, iscrowd=0, segmentation=[ring]),
            dict(common, id=2, iscrowd=0, segmentation=rle),
            dict(common, id=3, iscrowd=1, segmentation=rle),
            dict(common, id=4, image_id=2, segmentation=[ring, ring]),
        ]
        images = [
            dict(id=i, file_name=f'{i}.png', width=WIDTH, height=HEIGHT)
            for i in (1, 2)
        ]
        categories = [dict(id=3, name='cat'), dict(id=5, name='dog')]
        data = dict(
            images=images, annotations=annotations, categories=categories
        )
        return {'good.json': json.dumps(data).encode()}

    def damage(self, content: bytes, rng: np.random.Generator) -> bytes:
        """See `Kind`."""
        return damage_json(content, rng)

    def read(self, path: Path) -> None:
        """See `Kind`."""
        from swin_dense.detection.dataset import CheckedCocoDataset

        dataset = CheckedCocoDataset(
            ann_file=str(path),
            data_prefix=dict(img=str(self.folder)),
            with_mask=True,
        )
        for index in range(len(dataset)):
            for instance in dataset.get_data_info(index)['instances']:
                assert np.isfinite(instance['bbox']).all()
                assert (
                    0
                    <= instance['bbox_label']
                    < len(dataset.metainfo['classes'])
                )


class Images(Kind):
    """Images in all formats that OpenCV writes."""

    def samples(self) -> dict[str, bytes]:
        """See `Kind`."""
        return {
            f'good{suffix}': cv2.imencode(suffix, _pixels())[1].tobytes()
            for suffix in ('.png', '.jpg', '.bmp', '.tif', '.webp')
        }

    def read(self, path: Path) -> None:
        """See `Kind`."""
        from swin_dense.data.image_files import read_image

        pixels = read_image(path)
        assert pixels.ndim == 3 and pixels.shape[2] == 3
        assert pixels.dtype == np.uint8


class LabelMaps(Kind):
    """Label maps: grey, with a palette, and with 16 bits."""

    def samples(self) -> dict[str, bytes]:
        """See `Kind`."""
        from PIL import Image

        labels = _pixels()[..., 0] % 3
        images = dict(
            grey=Image.fromarray(labels),
            palette=Image.fromarray(labels).convert('P'),
            wide=Image.fromarray(labels.astype(np.uint16)),
        )
        files = {}
        for name, image in images.items():
            file = io.BytesIO()
            image.save(file, 'PNG')
            files[f'{name}.png'] = file.getvalue()
        return files

    def read(self, path: Path) -> None:
        """See `Kind`."""
        from swin_dense.data.label_map_scan import read_label_map

        label_map = read_label_map(str(path))
        if label_map.problem:
            raise ValueError(label_map.problem)
        if label_map.counts:
            num_pixels = np.prod(label_map.size)
            assert sum(label_map.counts.values()) == num_pixels


class Clips(Kind):
    """Video files."""

    def samples(self) -> dict[str, bytes]:
        """See `Kind`."""
        from swin_dense.data.video_writer import write_video

        path = self.folder / 'good.mp4'
        write_video(path, [_pixels(seed) for seed in range(6)], 5)
        return {path.name: path.read_bytes()}

    def read(self, path: Path) -> None:
        """See `Kind`."""
        from swin_dense.data.video_reader import Video

        with Video(str(path)) as video:
            frames = video.frames([0, video.num_frames - 1])
            video.times()
        assert all(frame.dtype == np.uint8 for frame in frames)


class Checkpoints(Kind):
    """Checkpoints of PyTorch and safetensors."""

    def samples(self) -> dict[str, bytes]:
        """See `Kind`."""
        import torch
        from safetensors.torch import save

        state = {
            'a.weight': torch.arange(12.0).view(3, 4),
            'a.bias': torch.ones(3),
        }
        file = io.BytesIO()
        torch.save(dict(state_dict=state, meta=dict(epoch=1, iter=2)), file)
        return {'good.pth': file.getvalue(), 'good.safetensors': save(state)}

    def read(self, path: Path) -> None:
        """See `Kind`."""
        from swin_dense.checkpoints.files.read import read_checkpoint

        assert isinstance(read_checkpoint(path), dict)


KINDS: dict[str, Callable[[Path], Kind]] = dict(
    json=Annotations,
    image=Images,
    labels=LabelMaps,
    clip=Clips,
    checkpoint=Checkpoints,
)


def _pixels(seed: int = 0) -> np.ndarray:
    """Return a small image of smooth random colours, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT))


def attempts(kind: Kind, rng: np.random.Generator) -> Iterator[Path]:
    """Write damaged files, endlessly; yield the path of each."""
    samples = kind.samples()
    names = sorted(samples)
    while True:
        name = names[rng.integers(len(names))]
        path = kind.folder / f'damaged{Path(name).suffix}'
        path.write_bytes(kind.damage(samples[name], rng))
        yield path


def attempt(kind: Kind, path: Path) -> str:
    """Read a file; return the failure, '' if it was read or refused."""
    try:
        kind.read(path)
    except (ValueError, OSError) as error:
        text = str(error)
        if str(path) not in text:
            return f'error without the path: {type(error).__name__}: {text}'
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return ''


def work(name: str, folder: str, seed: int, connection: Connection) -> None:
    """Read damaged files, and send path and failure of each.

    This runs in a separate process, because a damaged file may crash it.
    """
    logging.disable(logging.WARNING)
    try:
        import resource

        used = int(Path('/proc/self/statm').read_text().split()[0])
        limit = used * resource.getpagesize() + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError):
        pass  # Windows and macOS: no limit of memory
    kind = KINDS[name](Path(folder))
    for sample, content in kind.samples().items():
        Path(folder, sample).write_bytes(content)
        kind.read(Path(folder, sample))  # imports the reader
    for path in attempts(kind, np.random.default_rng(seed)):
        connection.send(str(path))
        connection.send(attempt(kind, path))


def fuzz(args: argparse.Namespace) -> int:
    """Read damaged files until the time is over; return 1 after failures."""
    end = time.monotonic() + args.seconds
    count, failures = dict.fromkeys(args.kinds, 0), 0
    share = args.seconds / len(args.kinds)
    for number, name in enumerate(args.kinds):
        stop = end - share * (len(args.kinds) - number - 1)
        seed = args.seed
        while time.monotonic() < stop:
            with tempfile.TemporaryDirectory() as folder:
                done, path, failure = _watch(
                    name, folder, seed, stop, args.limit
                )
                count[name] += done
                seed += 1_000_003
                if failure:
                    failures += 1
                    saved = _save(path, Path(args.out), name, failures)
                    print(f'{name}: {cli.printable(failure[:300])}: {saved}')
        print(f'{name}: {count[name]} files read or refused')
    print(counted(failures, 'failure'))
    return 1 if failures else 0


def _watch(
    name: str, folder: str, seed: int, stop: float, limit: float
) -> tuple[int, str, str]:
    """Run a process until the time is over or a file fails.

    Returns:
        Number of files without failure, the last path, and the failure or ''.
    """
    context = multiprocessing.get_context('spawn')
    receiver, sender = context.Pipe()
    process = context.Process(
        target=work, args=(name, folder, seed, sender), daemon=True
    )
    process.start()
    sender.close()
    done, path, failure = 0, '', ''
    try:
        # The first file takes longer: the process imports its modules.
        while receiver.poll(max(limit, 120)):
            path = receiver.recv()
            if not receiver.poll(limit):
                failure = f'takes more than {limit:g} s'
                break
            failure = receiver.recv()
            if failure or time.monotonic() > stop:
                break
            done += 1
    except EOFError:
        process.join()
        failure = f'ends the process with status {process.exitcode}'
    finally:
        process.kill()
        process.join()
    return done, path, failure


def _save(path: str, out: Path, kind: str, number: int) -> Path:
    """Copy a file into the folder for failures; return the copy."""
    target = out / f'{kind}_{number}{Path(path).suffix}'
    content = Path(path).read_bytes() if path else b''
    cli.write_bytes(target, content)
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(fuzz, make_parser().parse_args(argv))
