"""Checks of the label maps that a detector's semantic branch learns from.

They name stuff and things pixel by pixel, as COCO's `stuffthingmaps` do: one
PNG for each image, of its size, 255 for what is not labelled.
"""

from collections.abc import Sequence

from swin_dense.data.image_checks import missing_files
from swin_dense.data.label_map_scan import (
    LabelMap,
    palette_problems,
    read_label_map,
    scan_label_maps,
)
from swin_dense.data.messages import first_few

IGNORED = 255
MOST_SHOWN = 10
WITHOUT = (
    'To train without them, set data_prefix.seg and '
    'model.roi_head.semantic_head to None'
)


def _problem(found: LabelMap, num_classes: int) -> str | None:
    """What is wrong with a label map, if anything."""
    if found.problem is not None:
        return found.problem
    if not found.has_one_channel:
        return (
            f'{found.path} is {found.mode}; a label map has one channel, '
            'whose values are classes'
        )
    if found.size != found.image_size:
        return (
            '{} is {}x{} pixels (width x height), its image {} is {}x{}: '
            'make the maps from the very images'.format(
                found.path, *found.size, found.image, *found.image_size
            )
        )
    strange = [
        value
        for value in found.counts
        if not 0 <= value < num_classes and value != IGNORED
    ]
    if strange:
        return (
            f'{found.path} holds the values {first_few(strange)}: with '
            f'{num_classes} classes, labels are 0 to {num_classes - 1}, '
            f'and {IGNORED} where there is none'
        )
    return None


def check_stuff_maps(
    data_list: Sequence[dict], num_classes: int, source: str, read: bool = True
) -> None:
    """Check that every image has a label map that can be trained on.

    Args:
        data_list: One dict for each image, with `img_path` and
            `seg_map_path`.
        num_classes: Classes of stuff and things: labels are below it, or 255.
        source: The annotation file, for messages.
        read: Whether to read the maps, beyond looking whether they exist.

    Raises:
        FileNotFoundError: Maps are absent.
        ValueError: Maps are damaged, of another size than their image, or
            hold other values; or there are no classes.
    """
    if not isinstance(num_classes, int) or not 0 < num_classes < IGNORED:
        raise ValueError(
            f'num_stuff_classes={num_classes!r} must be the number of classes '
            'of stuff and things in the label maps that data_prefix.seg '
            f'names, below {IGNORED} (183 for COCO)'
        )
    pairs = [(info['seg_map_path'], info['img_path']) for info in data_list]
    missing = missing_files(path for path, _ in pairs)
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of {len(pairs)} label maps for the semantic '
            f'branch, of the images in {source}, do not exist: '
            f'{first_few(missing, 3)}. For COCO they are in '
            'stuffthingmaps_trainval2017.zip of COCO-Stuff; is '
            f'data_prefix.seg their folder? {WITHOUT}'
        )
    found = scan_label_maps(pairs) if read else []
    problems = list(
        filter(None, (_problem(one, num_classes) for one in found))
    )
    problems += palette_problems(found)
    if problems:
        shown = '\n'.join(f'  {one}' for one in problems[:MOST_SHOWN])
        more = len(problems) - MOST_SHOWN
        raise ValueError(
            f'{len(problems)} of {len(pairs)} label maps for the semantic '
            f'branch, of the images in {source}, cannot be trained on with '
            f'num_stuff_classes={num_classes}\n{shown}'
            + (f'\n  ... {more} more' if more > 0 else '')
        )


def stuff_map_problem(info: dict, num_classes: int) -> str | None:
    """What is wrong with the label map of one image, if anything."""
    return _problem(
        read_label_map(info['seg_map_path'], info['img_path']), num_classes
    )
