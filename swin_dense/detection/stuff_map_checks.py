"""Check the label maps of a detector's semantic branch.

Like COCO's `stuffthingmaps`, there is one PNG per image, with the size of the
image. Its values are stuff and thing classes, and 255 for unlabelled pixels.
"""

from collections.abc import Sequence
from typing import Any

from swin_dense.data.image_checks import missing_files
from swin_dense.data.label_map_scan import (
    LabelMap,
    palette_problems,
    read_label_map,
    scan_label_maps,
)
from swin_dense.wording import first_few

IGNORED = 255
MOST_SHOWN = 10
WITHOUT = (
    'To train without them, set data_prefix.seg and '
    'model.roi_head.semantic_head to None'
)


def _problem(label_map: LabelMap, num_classes: int) -> str | None:
    """Describe what is wrong with a label map; None if it can be used."""
    if label_map.problem is not None:
        return label_map.problem
    if not label_map.has_one_channel:
        return (
            f'{label_map.path} is {label_map.mode}; a label map has one '
            'channel, whose values are classes'
        )
    if label_map.size != label_map.image_size:
        return (
            '{} is {}x{} pixels (width x height), its image {} is {}x{}: '
            'make the label map from this image'.format(
                label_map.path,
                *label_map.size,
                label_map.image,
                *label_map.image_size,
            )
        )
    strange = [
        value
        for value in label_map.counts
        if not 0 <= value < num_classes and value != IGNORED
    ]
    if strange:
        return (
            f'{label_map.path} has the values {first_few(strange)}: with '
            f'{num_classes} classes, labels are 0 to {num_classes - 1}, '
            f'and {IGNORED} for pixels without a label'
        )
    return None


def check_stuff_maps(
    data_list: Sequence[dict],
    num_classes: int | None,
    source: str,
    read: bool = True,
) -> None:
    """Check that every image has a label map that can be used in training.

    Args:
        data_list: One dict for each image, with `img_path` and
            `seg_map_path`.
        num_classes: Number of stuff and thing classes. Labels are below it,
            or 255.
        source: The annotation file, for messages.
        read: If True, read all maps; otherwise only check that they exist.

    Raises:
        FileNotFoundError: If maps do not exist.
        ValueError: If maps are damaged, have another size than their image,
            or have other values; or if `num_classes` is out of range.
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
    label_maps = scan_label_maps(pairs) if read else []
    checked = (_problem(label_map, num_classes) for label_map in label_maps)
    problems = [problem for problem in checked if problem is not None]
    problems += palette_problems(label_maps)
    if problems:
        shown = '\n'.join(f'  {text}' for text in problems[:MOST_SHOWN])
        more = len(problems) - MOST_SHOWN
        raise ValueError(
            f'{len(problems)} of {len(pairs)} label maps for the semantic '
            f'branch, of the images in {source}, cannot be trained on with '
            f'num_stuff_classes={num_classes}\n{shown}'
            + (f'\n  ... {more} more' if more > 0 else '')
        )


def stuff_map_problem(info: dict, num_classes: Any) -> str | None:
    """Describe what is wrong with the label map of an image.

    Args:
        info: The image's dict, with `img_path` and `seg_map_path`.
        num_classes: Number of stuff and thing classes.

    Returns:
        A sentence, or None if the map can be used.
    """
    return _problem(
        read_label_map(info['seg_map_path'], info['img_path']), num_classes
    )
