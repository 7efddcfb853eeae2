"""Find classes, images and label maps of a user's folders."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from swin_dense.data.decoders.folder import PICTURES
from swin_dense.data.label_map_scan import scan_label_maps
from swin_dense.engine.config_text import Code
from swin_dense.engine.hold_out import describe_held_out, hold_out
from swin_dense.engine.own_data import (
    OwnData,
    Sources,
    child_folder,
    existing,
    split_folder,
)
from swin_dense.wording import counted, first_few

# Usual names of folders, first match first.
LABELS = ('labels', 'annotations', 'masks', 'label_maps', 'SegmentationClass')
IMAGES = ('images', 'image', 'img', 'imgs', 'JPEGImages')
NAMES = 'classes.txt'
IGNORED = 255


@dataclass(frozen=True)
class _Maps:
    """A folder of label maps and the folder of their images.

    Attributes:
        labels: Folder of the label maps.
        images: Folder of the images.
        stems: Paths of the label maps in their folder, without ending.
        suffix: Ending of the images.
    """

    labels: Path
    images: Path
    stems: list[str]
    suffix: str


def describe(sources: Sources, cfg: Config) -> OwnData:
    """Describe folders of label maps for the config of a segmentor.

    Args:
        sources: Folders of label maps (PNG), or a folder that contains
            folders such as `images` and `labels`, with `train` and `val` in
            each of them or not. A file `classes.txt` there names the classes.
        cfg: The config of the recipe.

    Returns:
        The settings, and what was decided.

    Raises:
        FileNotFoundError: If a folder, the label maps or images do not exist.
        ValueError: If a source is no folder, or images have several endings.
    """
    label_folder, val_folder = _label_folders(sources.data, sources.val)
    train = _maps(label_folder, sources.images, '--images')
    notes: list[str] = []
    files: dict[Path, str] = {}
    lists: dict[str, str] = {}
    if val_folder:
        val = _maps(val_folder, sources.val_images, '--val-images')
        num_train, num_val = len(train.stems), len(val.stems)
    else:
        val = train
        held = hold_out(train.stems, [0] * len(train.stems), sources.val_share)
        num_val = sum(held)
        num_train = len(held) - num_val
        for name, is_val in (('train', False), ('val', True)):
            path = sources.folder / f'{name}.txt'
            lists[name] = path.as_posix()
            stems = [
                stem for stem, part in zip(train.stems, held) if part == is_val
            ]
            files[path] = '\n'.join(stems) + '\n'
        notes.append(
            describe_held_out(
                counted(num_val, 'image'),
                train.images,
                f'{sources.val_share:.0%}',
                lists['val'],
            )
        )
    classes = sources.classes or _named_classes(train.labels, notes)
    if not classes:
        classes = _numbered_classes([train, val], notes)
    data = {
        'type': 'swin_dense.CheckedSegDataset',
        'data_root': '',
        'reduce_zero_label': False,
        'metainfo': {'classes': Code('classes')},
    }
    settings: dict[str, Any] = {
        f'{name}_dataloader': {
            'dataset': {
                **data,
                'img_suffix': maps.suffix,
                'data_prefix': {
                    'img_path': maps.images.as_posix(),
                    'seg_map_path': maps.labels.as_posix(),
                },
                **({'ann_file': lists[name]} if name in lists else {}),
            }
        }
        for name, maps in (('train', train), ('val', val))
    }
    settings['test_dataloader'] = Code('val_dataloader')
    return OwnData(
        classes=tuple(classes),
        num_train=num_train,
        num_val=num_val,
        settings=settings,
        notes=notes,
        files=files,
    )


def _label_folders(data: Path, val: Path | None) -> tuple[Path, Path | None]:
    """Return the folders of label maps to train on and to validate with.

    Raises:
        FileNotFoundError: If a source does not exist.
        ValueError: If a source is a file.
    """
    for path in (existing(data), existing(val)):
        if path and not path.is_dir():
            raise ValueError(
                f'{path} is a file, and this recipe reads a folder of label '
                'maps: one PNG for each image, whose values are classes'
            )
    return split_folder(child_folder(data, LABELS) or data, val)


def _maps(labels: Path, images: Path | None, option: str) -> _Maps:
    """Return the label maps of a folder, and their images.

    Raises:
        FileNotFoundError: If there are no label maps or no images.
        ValueError: If the images have several endings.
    """
    stems = sorted(
        path.relative_to(labels).with_suffix('').as_posix()
        for path in labels.rglob('*.png')
    )
    if not stems:
        raise FileNotFoundError(
            f'{labels} has no label maps: expected is a PNG file for each '
            'image'
        )
    candidates = [images] if images else [*_image_folders(labels)]
    folder = next((each for each in candidates if each.is_dir()), None)
    if folder is None:
        raise FileNotFoundError(
            f'the images of {labels} are not found: searched were '
            f'{first_few(candidates, 10)}. Name their folder with {option} DIR'
        )
    wanted = {*stems}
    suffixes = Counter(
        path.suffix
        for path in folder.rglob('*')
        if path.suffix.lower() in PICTURES
        and path.relative_to(folder).with_suffix('').as_posix() in wanted
    )
    if not suffixes:
        raise FileNotFoundError(
            f'no image in {folder} has the name of a label map in {labels}, '
            f'such as {stems[0]}. The label map of a.jpg must be a.png'
        )
    if len(suffixes) > 1:
        raise ValueError(
            f'the images in {folder} have several endings: '
            f'{first_few(f"{n} {suffix}" for suffix, n in suffixes.items())}. '
            'Convert them to one format'
        )
    return _Maps(labels, folder, stems, next(iter(suffixes)))


def _image_folders(labels: Path) -> Iterator[Path]:
    """Yield the folders where the images of label maps usually are."""
    for place in (labels, *labels.parents[:2]):
        if place.name in LABELS:
            rest = labels.relative_to(place)
            for name in IMAGES:
                yield place.with_name(name) / rest
    for name in IMAGES:
        yield labels.parent / name


def _named_classes(labels: Path, notes: list[str]) -> list[str]:
    """Return the names in `classes.txt` in or above a folder, if any."""
    for folder in (labels, *labels.parents[:2]):
        path = folder / NAMES
        if path.is_file():
            lines = path.read_text('utf-8-sig').splitlines()
            notes.append(f'classes: those in {path}')
            return [line.strip() for line in lines if line.strip()]
    return []


def _numbered_classes(maps: Sequence[_Maps], notes: list[str]) -> list[str]:
    """Return the values of label maps as names, from 0 to the largest."""
    values = {
        value
        for part in maps
        for label_map in scan_label_maps(
            [(str(part.labels / f'{stem}.png'), None) for stem in part.stems]
        )
        for value in label_map.counts
        if value != IGNORED
    }
    largest = max(values, default=0)
    notes.append(
        f'classes: the values 0 to {largest} of the label maps; --classes '
        f'gives them names ({NAMES} beside the folders, too)'
    )
    return [str(value) for value in range(largest + 1)]
