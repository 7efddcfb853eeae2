"""Scan label maps: count their values, and keep the counts in a cache.

A label map is an image whose pixel values are classes. All maps of a data set
are scanned on the CPU before training, because a wrong value makes a loss on
the GPU fail without a message that names the file.
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
from typing import Any

import numpy as np
from mmengine.dist import barrier, get_dist_info
from mmengine.logging import print_log
from torch.hub import get_dir

from swin_dense.data.image_checks import image_size
from swin_dense.data.image_files import open_image, stored_values
from swin_dense.files import UnreadableFileError, open_regular, replacing

# Smaller data sets are scanned in seconds and need no cache.
CACHE_ABOVE = 2000
# Increment when a change of the code gives other results for the same files.
CACHE_VERSION = 3
# PIL's modes with one integer channel.
ONE_CHANNEL = ('1', 'L', 'P', 'I', 'I;16', 'I;16B', 'I;16L', 'I;16N')


@dataclass
class LabelMap:
    """The values of a label map, and the size of its image.

    Attributes:
        path: The file of the label map.
        image: The file of its image; None if the image is not checked.
        mode: PIL's name of the pixel format, such as 'L', 'P' or 'RGB'.
        size: Width and height of the label map in pixels.
        image_size: Width and height of the image in pixels.
        counts: Number of pixels by value. Of several channels, the values of
            the first are counted if all are equal; otherwise it is empty.
        palette: Colour (red, green, blue) of each value that occurs, if the
            file is paletted.
        problem: Why one of the two files cannot be read; None if both can.
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
        """True if pixels are integers, not colours or fractions."""
        return self.mode in ONE_CHANNEL

    @property
    def is_paletted(self) -> bool:
        """True if pixels are indices into a table of colours."""
        return self.mode == 'P'


def _count(pixels: np.ndarray) -> dict[int, int]:
    """Return the number of pixels of each value."""
    if pixels.dtype == np.uint8:
        counts = np.bincount(pixels.ravel(), minlength=256)
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(pixels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist()))


def read_label_map(path: str, image: str | None = None) -> LabelMap:
    """Read a label map, and the header of its image.

    Args:
        path: The file of the label map.
        image: The file of its image; None leaves the image unread.

    Returns:
        The label map. If a file cannot be read, `problem` says why.
    """
    label_map = LabelMap(path, image)
    try:
        with open_regular(path) as file, open_image(file) as opened:
            label_map.mode, label_map.size = opened.mode, opened.size
            pixels = stored_values(opened)
            colours = opened.getpalette() or []
    except UnreadableFileError as error:
        label_map.problem = str(error)
        return label_map
    except Exception as error:  # PIL's decoders raise nearly anything
        label_map.problem = f'{path} cannot be decoded: {error}'
        return label_map
    if label_map.has_one_channel:
        label_map.counts = _count(
            pixels.astype(np.uint8) if pixels.dtype == bool else pixels
        )
        label_map.palette = {
            value: tuple(colours[3 * value : 3 * value + 3])
            for value in label_map.counts
            if label_map.is_paletted
        }
    elif pixels.ndim == 3 and not np.ptp(pixels[..., :3], axis=2).any():
        label_map.counts = _count(pixels[..., 0])
    if image is not None:
        try:
            label_map.image_size = image_size(image)
        except ValueError as error:
            label_map.problem = f'{image} {error}'
    return label_map


def _stamp(pair: tuple[str, str | None]) -> list[int]:
    """Return size and modification time of a label map and its image.

    A file that does not exist counts as -1, -1.
    """
    stamp = []
    for path in filter(None, pair):
        try:
            state = os.stat(path)
            stamp += [state.st_size, state.st_mtime_ns]
        except OSError:
            stamp += [-1, -1]
    return stamp


def _cache_file(pairs: Sequence[tuple[str, str | None]]) -> Path:
    """Return the cache file for a list of label maps and images."""
    files = [
        [path and os.path.abspath(path) for path in pair] for pair in pairs
    ]
    digest = hashlib.sha256(json.dumps([CACHE_VERSION, *files]).encode())
    return Path(get_dir(), 'label_maps', f'{digest.hexdigest()[:32]}.json')


def _load(path: Path) -> dict[str, Any]:
    """Load a cache; return an empty one if the file cannot be read.

    JSON has turned integer keys into text and tuples into lists, which is
    undone here.
    """
    try:
        entries = json.loads(path.read_text())
        for entry in entries.values():
            fields = entry['label_map']
            counts, palette = fields['counts'], fields['palette']
            fields['counts'] = {int(v): n for v, n in counts.items()}
            fields['palette'] = {int(v): tuple(c) for v, c in palette.items()}
            for key in ('size', 'image_size'):
                fields[key] = tuple(fields[key])
        return entries
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _store(path: Path, content: dict[str, Any]) -> None:
    """Write a cache atomically; log it if the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(json.dumps(content))
    except OSError as error:
        print_log(
            f'The label maps will be read again next time, as {path} cannot '
            f'be written: {error}',
            'current',
        )


def scan_label_maps(pairs: Sequence[tuple[str, str | None]]) -> list[LabelMap]:
    """Read label maps; those of a large data set only if they have changed.

    The results of more than `CACHE_ABOVE` files are cached in torch's hub
    folder, together with the files' sizes and modification times. In
    distributed runs the first process reads the files while the others wait.

    Args:
        pairs: Paths of a label map and of its image, which may be None.

    Returns:
        The label maps in the order of `pairs`.
    """
    if len(pairs) <= CACHE_ABOVE:
        return _scan(pairs, {})[0]
    cache_file = _cache_file(pairs)
    rank, world_size = get_dist_info()
    if rank > 0:
        barrier()
    cache = _load(cache_file)
    if not cache and rank == 0:
        print_log(f'Reading {len(pairs)} label maps, this once', 'current')
    start = time.perf_counter()
    label_maps, num_read = _scan(pairs, cache)
    if num_read:
        entries = {
            label_map.path: dict(
                stamp=_stamp(pair), label_map=asdict(label_map)
            )
            for label_map, pair in zip(label_maps, pairs)
        }
        _store(cache_file, entries)
        print_log(
            f'Read {num_read} label maps in '
            f'{time.perf_counter() - start:.0f} s; their values are kept in '
            f'{cache_file}',
            'current',
        )
    if rank == 0 and world_size > 1:
        barrier()
    return label_maps


def _scan(
    pairs: Sequence[tuple[str, str | None]], cache: dict[str, Any]
) -> tuple[list[LabelMap], int]:
    """Return all label maps, and how many of them were not in the cache."""

    def find(pair: tuple[str, str | None]) -> tuple[LabelMap, bool]:
        entry = cache.get(pair[0])
        if entry is not None and entry['stamp'] == _stamp(pair):
            return LabelMap(**entry['label_map']), False
        return read_label_map(*pair), True

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = list(pool.map(find, pairs))
    label_maps = [label_map for label_map, _ in results]
    return label_maps, sum(was_read for _, was_read in results)


def palette_problems(maps: Sequence[LabelMap]) -> list[str]:
    """Describe palettes that disagree on the colour of an index.

    One index with several colours, or one colour with several indices, means
    that an index is not one class. This happens when a program chooses a
    palette for each file.
    """
    by_value: dict[int, tuple[Any, LabelMap]] = {}
    by_colour: dict[Any, tuple[int, LabelMap]] = {}
    problems = []
    for label_map in maps:
        uses = Counter(label_map.palette.values())
        for value, colour in label_map.palette.items():
            known, other = by_value.setdefault(value, (colour, label_map))
            if known != colour:
                problems.append(
                    f'value {value} is the colour {known} in '
                    f'{other.path}, and {colour} in {label_map.path}'
                )
                continue
            if uses[colour] > 1:
                continue  # unused entries are often all black
            index, other = by_colour.setdefault(colour, (value, label_map))
            if index != value:
                problems.append(
                    f'the colour {colour} is value {index} in '
                    f'{other.path}, and {value} in {label_map.path}'
                )
    if not problems:
        return []
    more = f' ({len(problems)} such differences)' if problems[1:] else ''
    return [
        f'{problems[0]}{more}: the palettes differ, so that an index may not '
        'mean one class. Write all label maps with one palette, or without'
    ]
