"""Reading label maps: what each holds, once for each state of the file.

A label map is an image whose pixel values are classes. A folder of them is
read in full before a training, on the CPU, since a wrong value ends a
training on a GPU without a message that names it.
"""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import (
    Any,
)

import numpy as np
from mmengine.dist import barrier, get_dist_info
from mmengine.logging import print_log
from torch.hub import get_dir

from swin_dense.data.image_checks import image_size
from swin_dense.data.image_files import open_image, stored_values
from swin_dense.files import UnreadableFileError, open_regular, replacing

# Fewer files are read again in less time than it takes to explain a cache.
CACHE_ABOVE = 2000
# Increment when the findings in the same files would be others.
CACHE_VERSION = 2
# Modes of PIL with one channel of whole numbers.
ONE_CHANNEL = ('1', 'L', 'P', 'I', 'I;16', 'I;16B', 'I;16L', 'I;16N')


@dataclass
class LabelMap:
    """What a label map holds, and the size of its image.

    Attributes:
        path: The file.
        image: The file of its image, if that was to be read.
        mode: PIL's name of the pixel format, such as 'L', 'P' or 'RGB'.
        size: Width and height in pixels.
        image_size: Width and height of the image.
        counts: Number of pixels by value; for several channels, by the value
            of the first, and empty unless all channels are equal.
        palette: Colour (red, green, blue) of each value that occurs, if the
            file is paletted.
        problem: What is wrong with one of the two files, if it cannot be
            read.
    """

    path: str
    image: str | None = None
    mode: str = ''
    size: tuple[int, ...] = ()
    image_size: tuple[int, ...] = ()
    counts: dict[int, int] = field(default_factory=dict)
    palette: dict[int, tuple[int, ...]] = field(default_factory=dict)
    problem: str | None = None

    @property
    def has_one_channel(self) -> bool:
        """Whether pixels are whole numbers, not colours or fractions."""
        return self.mode in ONE_CHANNEL

    @property
    def is_paletted(self) -> bool:
        """Whether pixels are indices into a table of colours."""
        return self.mode == 'P'


def _count(pixels: np.ndarray) -> dict[int, int]:
    """Number of pixels by value."""
    if pixels.dtype == np.uint8:
        counts = np.bincount(pixels.ravel(), minlength=256)
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(pixels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist()))


def read_label_map(path: str, image: str | None = None) -> LabelMap:
    """Read a label map, and the header of its image."""
    found = LabelMap(path, image)
    try:
        with open_regular(path) as file, open_image(file) as opened:
            found.mode, found.size = opened.mode, opened.size
            pixels = stored_values(opened)
            colours = opened.getpalette() or []
    except UnreadableFileError as error:
        found.problem = str(error)
        return found
    except Exception as error:  # PIL's decoders raise nearly anything
        found.problem = f'{path} cannot be decoded: {error}'
        return found
    if found.has_one_channel:
        found.counts = _count(
            pixels.astype(np.uint8) if pixels.dtype == bool else pixels
        )
        found.palette = {
            value: tuple(colours[3 * value : 3 * value + 3])
            for value in found.counts
            if found.is_paletted
        }
    elif pixels.ndim == 3 and not np.ptp(pixels[..., :3], axis=2).any():
        found.counts = _count(pixels[..., 0])
    if image is not None:
        try:
            found.image_size = image_size(image)
        except ValueError as error:
            found.problem = f'{image} {error}'
    return found


def _stamp(pair: tuple[str, str | None]) -> list[int]:
    """Sizes and times of change of two files."""
    stamp = []
    for path in filter(None, pair):
        try:
            state = os.stat(path)
            stamp += [state.st_size, state.st_mtime_ns]
        except OSError:
            stamp += [-1, -1]
    return stamp


def _cache_file(pairs: Sequence[tuple[str, str | None]]) -> Path:
    """Where the findings in a list of files are kept."""
    files = [
        [path and os.path.abspath(path) for path in pair] for pair in pairs
    ]
    digest = hashlib.sha256(json.dumps([CACHE_VERSION, *files]).encode())
    return Path(get_dir(), 'label_maps', f'{digest.hexdigest()[:32]}.json')


def _load(path: Path) -> dict[str, Any]:
    """What is kept in a cache; nothing if that cannot be read."""
    try:
        kept = json.loads(path.read_text())
        for entry in kept.values():
            counts = entry['found']['counts'].items()
            entry['found']['counts'] = {int(v): n for v, n in counts}
            palette = entry['found']['palette'].items()
            entry['found']['palette'] = {int(v): tuple(c) for v, c in palette}
            for key in ('size', 'image_size'):
                entry['found'][key] = tuple(entry['found'][key])
        return kept
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _store(path: Path, content: dict[str, Any]) -> None:
    """Keep findings, where there is a place to keep them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(json.dumps(content))
    except OSError as error:
        print_log(
            f'The label maps will be read again next time: {error}', 'current'
        )


def scan_label_maps(pairs: Sequence[tuple[str, str | None]]) -> list[LabelMap]:
    """Read label maps, those of a large set only when they have changed.

    Findings in more than `CACHE_ABOVE` files are kept in torch's hub folder
    with the files' sizes and times of change. In distributed runs, the first
    process reads them while the others wait.

    Args:
        pairs: Paths of a label map and of its image, or None.
    """
    if len(pairs) <= CACHE_ABOVE:
        return _scan(pairs, {})[0]
    cache = _cache_file(pairs)
    rank, world_size = get_dist_info()
    if rank > 0:
        barrier()
    kept = _load(cache)
    if not kept and rank == 0:
        print_log(f'Reading {len(pairs)} label maps, this once', 'current')
    start = time.perf_counter()
    found, new = _scan(pairs, kept)
    if new:
        stamped = {
            one.path: dict(stamp=_stamp(pair), found=asdict(one))
            for one, pair in zip(found, pairs)
        }
        _store(cache, stamped)
        print_log(
            f'Read {new} label maps in {time.perf_counter() - start:.0f} s; '
            f'what they hold is kept in {cache}',
            'current',
        )
    if rank == 0 and world_size > 1:
        barrier()
    return found


def _scan(
    pairs: Sequence[tuple[str, str | None]], kept: dict[str, Any]
) -> tuple[list[LabelMap], int]:
    """Findings in each of `pairs`, and how many of them were not `kept`."""

    def find(pair: tuple[str, str | None]) -> tuple[LabelMap, bool]:
        entry = kept.get(pair[0])
        if entry is not None and entry['stamp'] == _stamp(pair):
            return LabelMap(**entry['found']), False
        return read_label_map(*pair), True

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = list(pool.map(find, pairs))
    return [found for found, _ in results], sum(new for _, new in results)


def palette_problems(maps: Sequence[LabelMap]) -> list[str]:
    """Return sentences on palettes that give one index several colours, or
    one colour several indices.

    Either way an index does not mean one class, as when each file got the
    palette that suits it best.
    """
    by_value: dict[int, tuple[Any, LabelMap]] = {}
    by_colour: dict[Any, tuple[int, LabelMap]] = {}
    problems = []
    for one in maps:
        repeated = Counter(one.palette.values())
        for value, colour in one.palette.items():
            known, other = by_value.setdefault(value, (colour, one))
            if known != colour:
                problems.append(
                    f'value {value} is the colour {known} in '
                    f'{other.path}, and {colour} in {one.path}'
                )
                continue
            if repeated[colour] > 1:
                continue  # unused entries are often all black
            index, other = by_colour.setdefault(colour, (value, one))
            if index != value:
                problems.append(
                    f'the colour {colour} is value {index} in '
                    f'{other.path}, and {value} in {one.path}'
                )
    if not problems:
        return []
    more = f' ({len(problems)} such differences)' if problems[1:] else ''
    return [
        f'{problems[0]}{more}: the palettes differ, so that an index may not '
        'mean one class. Write all label maps with one palette, or without'
    ]
