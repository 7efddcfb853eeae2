"""Find classes, masks and images of a user's COCO files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from swin_dense.data.image_checks import missing_files
from swin_dense.detection.annotation_checks import TOLERATED, load_coco
from swin_dense.engine.config_text import Code
from swin_dense.engine.hold_out import describe_held_out, hold_out
from swin_dense.engine.own_data import OwnData, Sources, existing
from swin_dense.wording import counted, first_few

# Models whose heads work without masks, and the type to use then.
BOX_MODELS = {
    'MaskRCNN': 'FasterRCNN',
    'CascadeRCNN': 'CascadeRCNN',
    'RepPointsDetector': 'RepPointsDetector',
}


def describe(sources: Sources, cfg: Config) -> OwnData:
    """Describe COCO files for the config of a detector.

    Classes are the categories of the training file. If a file has no masks,
    the model has no mask head.

    Args:
        sources: The files.
        cfg: The config of the recipe.

    Returns:
        The settings, and what was decided.

    Raises:
        FileNotFoundError: If a file or all images do not exist.
        ValueError: If a file is not a COCO file, some annotations alone have
            masks, or the recipe's model needs masks and there are none.
    """
    train = _load(sources.data, sources)
    notes: list[str] = []
    files: dict[Path, str] = {}
    images = _image_folder(sources.data, train, sources.images, '--images')
    if sources.val:
        val_file, val = sources.val, _load(sources.val, sources)
        val_images = _image_folder(
            val_file, val, sources.val_images or sources.images, '--val-images'
        )
        train_file = sources.data
    else:
        train, val = _split(train, sources.val_share)
        train_file = sources.folder / 'train.json'
        val_file = sources.folder / 'val.json'
        files = {train_file: json.dumps(train), val_file: json.dumps(val)}
        val_images = images
        notes.append(
            describe_held_out(
                counted(len(val['images']), 'image'),
                sources.data,
                f'{sources.val_share:.0%}',
                val_file,
            )
        )
    classes = _classes(train, sources, notes)
    has_masks = _has_masks(
        {sources.data: train, val_file: val}, sources, cfg, notes
    )
    data: dict[str, Any] = {
        'data_root': '',
        'metainfo': {'classes': Code('classes')},
    }
    if sources.classes:
        data['allow_subset'] = True
    model: dict[str, Any] = {}
    if not has_masks:
        data['with_mask'] = False
        model = _without_masks(cfg)
    if 'semantic_head' in (cfg.model.get('roi_head') or {}):
        model.setdefault('roi_head', {}).update(
            semantic_head=None, semantic_roi_extractor=None
        )
    prefix: dict[str, Any] = {'img': _folder_text(images)}
    if 'seg' in cfg.train_dataloader.dataset.get('data_prefix', {}):
        prefix['seg'] = None
    evaluator: dict[str, Any] = {'ann_file': val_file.as_posix()}
    if not has_masks:
        evaluator['metric'] = 'bbox'
    settings = {
        'train_dataloader': {
            'dataset': {
                **data,
                'ann_file': train_file.as_posix(),
                'data_prefix': prefix,
                'filter_cfg': None,
            }
        },
        'val_dataloader': {
            'dataset': {
                **data,
                'ann_file': val_file.as_posix(),
                'data_prefix': {'img': _folder_text(val_images)},
            }
        },
        'test_dataloader': Code('val_dataloader'),
        'val_evaluator': evaluator,
        'test_evaluator': Code('val_evaluator'),
    }
    return OwnData(
        classes=classes,
        num_train=len(train['images']),
        num_val=len(val['images']),
        settings=settings,
        model=model,
        notes=notes,
        files=files,
    )


def _load(path: Path, sources: Sources) -> dict[str, Any]:
    """Load a COCO file.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is a folder, or not a COCO file.
    """
    existing(path)
    if path.is_dir():
        found = sorted(str(file) for file in path.rglob('*.json'))[:20]
        raise ValueError(
            f'{path} is a folder, and this recipe reads COCO files'
            + (
                f'; JSON files there: {first_few(found)}'
                if found
                else '; swin-dense convert-data writes one from YOLO, Pascal '
                'VOC, labelme or CSV'
            )
        )
    return load_coco(path)


def _classes(
    train: dict[str, Any], sources: Sources, notes: list[str]
) -> tuple[str, ...]:
    """Return the class names in label order.

    Roboflow writes the name of the data set as a category above all others,
    without annotations, which is no class.
    """
    if sources.classes:
        return sources.classes
    used = {ann['category_id'] for ann in train['annotations']}
    above = {category.get('supercategory') for category in train['categories']}
    names = []
    for category in train['categories']:
        name = str(category['name'])
        is_group = name in above and category['id'] not in used
        if is_group and len(train['categories']) > 1:
            notes.append(
                f'category {name!r} is above other categories and has no '
                'annotations: it is no class'
            )
        else:
            names.append(name)
    return tuple(names)


def _is_mask(segmentation: Any) -> bool:
    """Return True if an annotation's segmentation is not empty."""
    return bool(segmentation) and segmentation != [[]]


def _has_masks(
    files: dict[Path, dict[str, Any]],
    sources: Sources,
    cfg: Config,
    notes: list[str],
) -> bool:
    """Return True if the model is to learn masks.

    Raises:
        ValueError: If only some annotations of a file have masks.
    """
    pipeline = cfg.train_dataloader.dataset.get('pipeline', ())
    if not any(step.get('with_mask') for step in pipeline):
        return False
    if not sources.uses_masks:
        notes.append('--no-masks: boxes are trained, masks are not read')
        return False
    for path, data in files.items():
        annotations = data['annotations']
        without = [
            ann['id']
            for ann in annotations
            if not _is_mask(ann.get('segmentation'))
        ]
        if annotations and len(without) == len(annotations):
            notes.append(
                f'{path} has boxes and no masks: the model has no mask head'
            )
            return False
        if len(without) > TOLERATED * len(annotations):
            raise ValueError(
                f'{path}: {len(without)} of {len(annotations)} annotations '
                f'have a box and no mask (ids {first_few(without)}). Add the '
                'masks, or train boxes alone with --no-masks'
            )
    return True


def _without_masks(cfg: Config) -> dict[str, Any]:
    """Return the settings of a model without masks.

    Raises:
        ValueError: If this model cannot do without.
    """
    model = cfg.model
    head = model.get('bbox_head') or {}
    if model.type not in BOX_MODELS or 'Mask' in str(head.get('type', '')):
        raise ValueError(
            f'{model.type} cannot learn from boxes alone; use a recipe that '
            'can, such as cascade_swin_t, mask_rcnn_swin_t or '
            'reppoints_v2_swin_t'
        )
    settings: dict[str, Any] = {'type': BOX_MODELS[model.type]}
    if 'mask_head' in (model.get('roi_head') or {}):
        settings['roi_head'] = {'mask_head': None, 'mask_roi_extractor': None}
    return settings


def _image_folder(
    ann_file: Path, data: dict[str, Any], given: Path | None, option: str
) -> Path:
    """Return the folder that the file names of a COCO file are relative to.

    Raises:
        FileNotFoundError: If there is none.
    """
    names = [str(image['file_name']) for image in data['images']]
    candidates = [given] if given else [*_near(ann_file)]
    counts = {
        folder: len(missing_files(str(folder / name) for name in names))
        for folder in candidates
        if folder.is_dir()
    }
    best = min(counts, key=lambda folder: counts[folder], default=None)
    if best is not None and (counts[best] < len(names) or given):
        return best  # the data set names the missing files, if any
    if given:
        raise FileNotFoundError(f'{option} {given} is no folder')
    raise FileNotFoundError(
        f'the images of {ann_file}, such as {names[0]}, are not beside it: '
        f'searched were {first_few(candidates, 10)}. Name their folder with '
        f'{option} DIR'
    )


def _near(ann_file: Path) -> Iterator[Path]:
    """Yield the folders where images of a COCO file usually are."""
    folder = ann_file.parent
    split = ann_file.stem.removeprefix('instances_')
    for place in (folder, folder.parent):
        yield place
        yield place / 'images'
        yield place / split
        yield place / 'images' / split
        yield place / 'JPEGImages'


def _folder_text(folder: Path) -> str:
    """Return a folder as it stands in a config."""
    return '' if folder == Path() else f'{folder.as_posix()}/'


def _split(
    data: dict[str, Any], share: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the training and the validation part of a COCO file.

    Images with and without objects have the same share in both.
    """
    images = data['images']
    with_objects = {ann['image_id'] for ann in data['annotations']}
    held = hold_out(
        [str(image['file_name']) for image in images],
        [image['id'] in with_objects for image in images],
        share,
    )
    return _part(data, [not is_held for is_held in held]), _part(data, held)


def _part(data: dict[str, Any], chosen: Sequence[bool]) -> dict[str, Any]:
    """Return the part of a COCO file with the chosen images."""
    images = [image for image, keep in zip(data['images'], chosen) if keep]
    ids = {image['id'] for image in images}
    return {
        **data,
        'images': images,
        'annotations': [
            ann for ann in data['annotations'] if ann['image_id'] in ids
        ],
    }
