"""Damage small files at random, and see that each is read or refused.

A reader must give back what is in the file or raise an error of this package
that names it, in time and in bounded memory. What makes it do anything else is
saved: a crash, another error, a hang.
"""

import argparse
import copy
import io
import json
import logging
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.engine import cli

# What stands for a number where one is expected, and for anything else.
ODD_VALUES = (
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
# Stands in JSON for lists within lists, which cannot be written otherwise.
NESTED = '@nested@'
HEIGHT, WIDTH = 24, 32
# Bytes of memory that a process may take beyond what it starts with.
MEMORY = 4 * 2**30


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'python tools/fuzz.py --seconds 600 --kinds image clip '
        '--out failures/',
    )
    parser.add_argument(
        '--seconds', type=float, default=60, help='how long (default: 60)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of all that is random'
    )
    parser.add_argument(
        '--kinds',
        nargs='+',
        choices=list(KINDS),
        default=list(KINDS),
        help='of files (default: all)',
    )
    parser.add_argument(
        '--limit',
        type=float,
        default=10,
        metavar='SECONDS',
        help='that reading a file may take (default: 10)',
    )
    parser.add_argument(
        '--out',
        default='fuzz_failures',
        metavar='DIR',
        help='folder for files that are neither read nor refused (default: '
        'fuzz_failures)',
    )
    cli.add_debug_argument(parser)
    return parser


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Change some bytes, cut some out, or put others in."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        at = int(rng.integers(len(data)))
        # Headers are where sizes are.
        at = at % 64 if rng.random() < 0.3 else at
        end = at + int(rng.integers(1, 1 + min(64, len(data))))
        way = rng.integers(6)
        if way == 0:
            data[min(at, len(data) - 1)] ^= 1 << int(rng.integers(8))
        elif way == 1:
            odd = ODD_BYTES[rng.integers(len(ODD_BYTES))]
            data[at : at + len(odd)] = odd
        elif way == 2:
            del data[at:end]
        elif way == 3:
            data[at:at] = data[at:end]
        elif way == 4:
            data[at:at] = rng.bytes(end - at)
        else:
            del data[at:]
    return bytes(data)


def damage_json(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace a value somewhere in JSON; now and then, damage the text."""
    if rng.random() < 0.2:
        return damage(content, rng)
    data = json.loads(content)
    for _ in range(rng.integers(1, 3)):
        node, key = _place(data, rng)
        way = rng.integers(4)
        if way == 0:
            del node[key]
        elif way == 1:
            node[key] = NESTED
        else:
            node[key] = copy.deepcopy(
                ODD_VALUES[rng.integers(len(ODD_VALUES))]
            )
    depth = int(rng.choice([3, 50, 900, 20_000]))
    nested = '[' * depth + '7' + ']' * depth
    return json.dumps(data).replace(f'"{NESTED}"', nested).encode()


def _place(data: Any, rng: np.random.Generator) -> tuple:
    """Return a list or dict in parsed JSON, and a key of it."""
    places = list(_places(data))
    return places[rng.integers(len(places))]


def _places(node: Any) -> Iterator[tuple]:
    keys = (
        list(node)
        if isinstance(node, dict)
        else range(len(node))
        if isinstance(node, list)
        else ()
    )
    for key in keys:
        yield node, key
        yield from _places(node[key])


class Kind:
    """A kind of files.

    Args:
        folder: For the files that reading needs, and the damaged one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def samples(self) -> dict[str, bytes]:
        """Return good files by name."""
        raise NotImplementedError

    def read(self, path: Path) -> None:
        """Read a file.

        Raises:
            ValueError: If it is refused; the message names it.
            AssertionError: If what was read cannot be right.
        """
        raise NotImplementedError

    def damage(self, content: bytes, rng: np.random.Generator) -> bytes:
        """Return a damaged copy of a file."""
        return damage(content, rng)


class Annotations(Kind):
    """COCO annotation files."""

    def samples(self) -> dict[str, bytes]:
        """See Kind."""
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
        """See Kind."""
        return damage_json(content, rng)

    def read(self, path: Path) -> None:
        """See Kind."""
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
    """Photographs of all formats that OpenCV writes."""

    def samples(self) -> dict[str, bytes]:
        """See Kind."""
        return {
            f'good{suffix}': cv2.imencode(suffix, _pixels())[1].tobytes()
            for suffix in ('.png', '.jpg', '.bmp', '.tif', '.webp')
        }

    def read(self, path: Path) -> None:
        """See Kind."""
        from swin_dense.data.image_files import read_image

        pixels = read_image(path)
        assert pixels.ndim == 3 and pixels.shape[2] == 3
        assert pixels.dtype == np.uint8


class LabelMaps(Kind):
    """Label maps: grey, paletted and of 16 bits."""

    def samples(self) -> dict[str, bytes]:
        """See Kind."""
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
        """See Kind."""
        from swin_dense.data.label_map_scan import read_label_map

        found = read_label_map(str(path))
        if found.problem:
            raise ValueError(found.problem)
        if found.counts:
            assert sum(found.counts.values()) == np.prod(found.size)


class Clips(Kind):
    """Video files."""

    def samples(self) -> dict[str, bytes]:
        """See Kind."""
        from swin_dense.data.video_writer import write_video

        path = self.folder / 'good.mp4'
        write_video(path, [_pixels(seed) for seed in range(6)], 5)
        return {path.name: path.read_bytes()}

    def read(self, path: Path) -> None:
        """See Kind."""
        from swin_dense.data.video_reader import Video

        with Video(str(path)) as video:
            frames = video.frames([0, video.num_frames - 1])
            video.times()
        assert all(frame.dtype == np.uint8 for frame in frames)


class Checkpoints(Kind):
    """Checkpoints of PyTorch and safetensors."""

    def samples(self) -> dict[str, bytes]:
        """See Kind."""
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
        """See Kind."""
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
    """Return a small picture with some structure, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT))


def attempts(kind: Kind, rng: np.random.Generator) -> Iterator[Path]:
    """Write damaged files, one after the other, without end."""
    samples = kind.samples()
    names = sorted(samples)
    while True:
        name = names[rng.integers(len(names))]
        path = kind.folder / f'damaged{Path(name).suffix}'
        path.write_bytes(kind.damage(samples[name], rng))
        yield path


def attempt(kind: Kind, path: Path) -> str:
    """Read a file; return what is wrong, '' if it was read or refused."""
    try:
        kind.read(path)
    except (ValueError, OSError) as error:
        text = str(error)
        if str(path) not in text:
            return f'does not name the file: {type(error).__name__}: {text}'
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return ''


def work(name: str, folder: str, seed: int, connection: Connection) -> None:
    """Read damaged files in a process of its own, and report on each."""
    logging.disable(logging.WARNING)
    try:
        import resource

        now = int(Path('/proc/self/statm').read_text().split()[0])
        most = now * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (ImportError, OSError):
        pass  # where neither is there, memory is not limited
    kind = KINDS[name](Path(folder))
    for sample, content in kind.samples().items():
        Path(folder, sample).write_bytes(content)
        kind.read(Path(folder, sample))  # imports what it takes
    for path in attempts(kind, np.random.default_rng(seed)):
        connection.send(str(path))
        connection.send(attempt(kind, path))


def fuzz(args: argparse.Namespace) -> int:
    """Read damaged files until the time is over; 1 if one went wrong."""
    end = time.monotonic() + args.seconds
    count, failures = dict.fromkeys(args.kinds, 0), 0
    share = args.seconds / len(args.kinds)
    for number, name in enumerate(args.kinds):
        stop = end - share * (len(args.kinds) - number - 1)
        seed = args.seed
        while time.monotonic() < stop:
            with tempfile.TemporaryDirectory() as folder:
                done, path, problem = _watch(
                    name, folder, seed, stop, args.limit
                )
                count[name] += done
                seed += 1_000_003
                if problem:
                    failures += 1
                    kept = _keep(path, Path(args.out), name, failures)
                    print(f'{name}: {cli.printable(problem[:300])}: {kept}')
        print(f'{name}: {count[name]} files read or refused')
    print(f'{failures} failures' if failures else 'no failures')
    return 1 if failures else 0


def _watch(
    name: str, folder: str, seed: int, stop: float, limit: float
) -> tuple:
    """Run a process until the time is over or something goes wrong.

    Returns:
        Number of files that went well, the last path, and what went wrong.
    """
    context = multiprocessing.get_context('spawn')
    here, there = context.Pipe()
    process = context.Process(
        target=work, args=(name, folder, seed, there), daemon=True
    )
    process.start()
    there.close()
    done, path, problem = 0, '', ''
    try:
        # The first file comes when all is imported.
        while here.poll(max(limit, 120)):
            path = here.recv()
            if not here.poll(limit):
                problem = f'takes more than {limit:g} s'
                break
            problem = here.recv()
            if problem or time.monotonic() > stop:
                break
            done += 1
    except EOFError:
        process.join()
        problem = f'ends the process with {process.exitcode}'
    finally:
        process.kill()
        process.join()
    return done, path, problem


def _keep(path: str, out: Path, kind: str, number: int) -> Path:
    """Copy a file to where it is not deleted."""
    target = out / f'{kind}_{number}{Path(path).suffix}'
    content = Path(path).read_bytes() if path else b''
    cli.write_bytes(target, content)
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    return cli.run(fuzz, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
