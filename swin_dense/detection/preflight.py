"""The detector's part of the pre-flight."""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from swin_dense.data.wrappers import class_names_of
from swin_dense.wording import first_few

SHOWN = 10  # faults that are named
SIDE = 128  # longer side of the images to learn by heart, in pixels
# Learning rates and numbers of steps to learn by heart with.
TRIES = ((2e-3, 120), (5e-4, 120))
SEARCHED = 2000  # images among which these are chosen
BEST = 50
TOLERANCE = 2  # difference of boxes, in pixels
LEAST_IOU = 0.6  # of masks, which are small
LARGE = 0.2  # side of an object, relative to the image


def count_classes(dataset: Any) -> list[int]:
    """Count the objects of each class, without crowds."""
    counts = [0] * len(class_names_of(dataset) or ())
    for index in range(len(dataset)):
        for instance in dataset.get_data_info(index)['instances']:
            counts[instance['bbox_label']] += not instance['ignore_flag']
    return counts


def truth_as_predictions(dataset: Any) -> list[dict[str, Any]]:
    """Return the objects of a data set as perfect predictions.

    Returns:
        A dict for each image, as metrics take it, with scores of 1. Crowds
        are left out. Masks are there if all objects have one.
    """
    return [
        image_truth(dataset.get_data_info(index))
        for index in range(len(dataset))
    ]


def image_truth(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the objects of an image as perfect predictions."""
    objects = [o for o in info['instances'] if not o['ignore_flag']]
    found = InstanceData(
        bboxes=torch.tensor(
            [o['bbox'] for o in objects], dtype=torch.float64
        ).reshape(-1, 4),  # (N, 4)
        labels=torch.tensor([o['bbox_label'] for o in objects]).long(),
        scores=torch.ones(len(objects)),
    )
    size = info['height'], info['width']
    if all(o.get('mask') for o in objects):
        found.masks = [to_rle(o['mask'], *size) for o in objects]
    return dict(
        img_id=info['img_id'],
        ori_shape=size,
        img_path=info.get('img_path'),
        pred_instances=found,
        gt_instances=found,
        ignored_instances=InstanceData(),
    )


def to_rle(mask: Any, height: int, width: int) -> dict[str, Any]:
    """Return polygons or a run-length encoding as pycocotools writes it."""
    if isinstance(mask, list):
        return coco_mask.merge(coco_mask.frPyObjects(mask, height, width))
    if isinstance(mask['counts'], list):
        return coco_mask.frPyObjects(mask, height, width)
    return dict(mask)


def scored(values: Mapping[str, float]) -> dict[str, float]:
    """Return the names of the values that the truth scores, and their 1.000.

    These are AP of boxes and masks.
    """
    return {
        name: 1.0
        for name in values
        if name.split('/')[-1] in ('bbox_mAP', 'segm_mAP')
    }


def name_faults(metric: Any, dataset: Any) -> list[str]:
    """Name the annotations that the truth, fed as predictions, misses.

    Args:
        metric: A metric that has scored the truth of a data set.
        dataset: The data set.
    """
    lines = []
    for what, scorer in getattr(metric, 'scorers', {}).items():
        missed = unmatched(scorer)
        names = {
            c['id']: c['name'] for c in scorer.cocoGt.dataset['categories']
        }
        for number in missed[:SHOWN]:
            entry = scorer.cocoGt.anns[number]
            image = scorer.cocoGt.imgs[entry['image_id']]
            box = ', '.join(f'{value:g}' for value in entry['bbox'])
            lines.append(
                f'{what}: annotation {entry["id_in_file"]} of '
                f'{image["file_name"]} (image id {image["id"]}), '
                f'{names[entry["category_id"]]!r}, box x y w h {box}, is not '
                'among the objects of the data set'
            )
        if len(missed) > SHOWN:
            rest = [
                scorer.cocoGt.anns[n]['id_in_file'] for n in missed[SHOWN:]
            ]
            lines.append(f'{what}: also annotations {first_few(rest, 20)}')
    return lines


def unmatched(scorer: Any) -> list[int]:
    """Return the ids of the objects that are missed at the highest IoU."""
    missed: set[int] = set()
    for entry in scorer.evalImgs:
        if entry is None or entry['aRng'] != scorer.params.areaRng[0]:
            continue
        matches = np.asarray(entry['gtMatches'])[-1]
        ignored = np.asarray(entry['gtIgnore'])
        missed.update(
            int(number)
            for number, match, ignore in zip(entry['gtIds'], matches, ignored)
            if not match and not ignore
        )
    return sorted(missed)


def choose(dataset: Any, count: int) -> list[int]:
    """Choose images whose objects are large and few, of many classes.

    Args:
        dataset: A data set without wrappers.
        count: Number of images.

    Returns:
        Their indices.

    Raises:
        ValueError: If no image has objects.
    """
    places = np.linspace(0, len(dataset) - 1, min(len(dataset), SEARCHED))
    ranked: list[tuple[float, int, set[int]]] = []
    for place in places.round().astype(int).tolist():
        info = dataset.get_data_info(place)
        objects = info['instances']
        if not objects or any(o['ignore_flag'] for o in objects):
            continue
        boxes = np.array([o['bbox'] for o in objects], float)
        sides = boxes[:, 2:] - boxes[:, :2]
        least = sides.min() / max(info['width'], info['height'])
        ranked.append(
            (
                min(float(least), LARGE) - 0.01 * max(0, len(objects) - 3),
                place,
                {o['bbox_label'] for o in objects},
            )
        )
    if not ranked:
        raise ValueError(
            'no image of the training set has objects alone: all are empty, '
            'or have crowds'
        )
    ranked.sort(key=lambda entry: (-entry[0], entry[1]))
    chosen: list[int] = []
    seen: dict[int, int] = {}
    while ranked and len(chosen) < count:
        # Of the best, the one whose classes were seen least.
        best = min(
            ranked[:BEST],
            key=lambda entry: min(seen.get(label, 0) for label in entry[2]),
        )
        ranked.remove(best)
        chosen.append(best[1])
        for label in best[2]:
            seen[label] = seen.get(label, 0) + 1
    return chosen


def resize_steps() -> list[dict[str, Any]]:
    """Return steps that give images their small size."""
    return [dict(type='Resize', scale=(SIDE, SIDE), keep_ratio=True)]


def shrinkage(context: Any) -> float:
    """Return the small size over the median size in the training."""
    dataset = context.dataset('train')
    places = np.linspace(0, len(dataset) - 1, min(len(dataset), 3))
    sides = [max(dataset[int(place)]['inputs'].shape[1:]) for place in places]
    return min(1.0, SIDE / float(np.median(sides)))


def fit_to_samples(model: Any) -> Any:
    """Return the settings of a model for the small images."""
    model = dict(model)
    preprocessor = dict(model['data_preprocessor'])
    preprocessor.pop('batch_augments', None)
    return dict(model, data_preprocessor=preprocessor)


def too_slow(model: Mapping[str, Any]) -> str:
    """Return why a model cannot learn in minutes, or ''."""
    head = model.get('bbox_head') or model.get('panoptic_head') or {}
    if (
        'encoder' in model
        or 'num_queries' in model
        or 'DETR' in str(head.get('type', ''))
    ):
        return 'models with queries need thousands of steps'
    if 'language_model' in model or 'detector' in model:
        return f'{model.get("type")} is not trained on boxes alone'
    return ''


@contextlib.contextmanager
def watch(model: Any) -> Iterator[dict[str, float]]:
    """Record the share of objects that each assigner gives to a prior.

    Yields:
        The shares by the places of the assigners, filled as the model runs.
    """
    shares: dict[str, float] = {}
    counts: dict[str, list[int]] = {}
    with contextlib.ExitStack() as stack:
        for place, assigner in find_assigners(model):
            stack.enter_context(_counting(place, assigner, counts))
        yield shares
    for place, (assigned, objects) in counts.items():
        shares[place] = assigned / max(objects, 1)


def find_assigners(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the place and the object of each assigner of a model."""
    for name, module in model.named_modules():
        for key in ('assigner', 'init_assigner', 'refine_assigner'):
            if hasattr(getattr(module, key, None), 'assign'):
                yield f'{name}.{key}', getattr(module, key)
        several = getattr(module, 'bbox_assigner', None)
        if several is None:
            continue
        is_list = isinstance(several, (list, tuple))
        for number, assigner in enumerate(several if is_list else [several]):
            place = f'{name}.bbox_assigner'
            yield f'{place}[{number}]' if is_list else place, assigner


@contextlib.contextmanager
def _counting(
    place: str, assigner: Any, counts: dict[str, list[int]]
) -> Iterator[None]:
    """Count the objects that an assigner gets and gives to a prior."""
    original = assigner.assign

    def assign(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        entry = counts.setdefault(place, [0, 0])
        given = result.gt_inds[result.gt_inds > 0]
        entry[0] += len(given.unique())
        entry[1] += int(result.num_gts)
        return result

    assigner.assign = assign
    try:
        yield
    finally:
        del assigner.assign


@torch.no_grad()
def measure(
    model: Any, packed: list[dict[str, Any]]
) -> tuple[dict[str, float], float | None]:
    """Score the predictions of a model on samples that it learns.

    Args:
        model: A detector.
        packed: Samples of a training pipeline.

    Returns:
        AP50 of boxes without and with classes, and of masks; and the share of
        objects that a proposal covers with an IoU of 0.5, None without
        proposals.
    """
    model.eval()
    samples = []
    for sample in packed:
        copy = deepcopy(sample['data_samples'])
        height, width = copy.img_shape[:2]
        copy.set_metainfo(
            dict(ori_shape=(height, width), scale_factor=(1.0, 1.0))
        )
        samples.append(copy)
    data = model.data_preprocessor(
        dict(
            inputs=[sample['inputs'] for sample in packed],
            data_samples=samples,
        ),
        False,
    )
    features = model.extract_feat(data['inputs'])
    proposals = None
    if getattr(model, 'with_rpn', False):
        found = model.rpn_head.predict(
            features, data['data_samples'], rescale=False
        )
        proposals = recall(found, samples)
    predicted = model.predict(data['inputs'], data['data_samples'])
    truth = [_arrays(s.gt_instances) for s in samples]
    sizes = [s.img_shape[:2] for s in samples]
    guesses = [_arrays(p.pred_instances) for p in predicted]
    scores = {
        'boxes of any class': ap50(truth, guesses, sizes, classes=False),
        'boxes': ap50(truth, guesses, sizes),
    }
    if all('masks' in g for g in guesses) and all('masks' in t for t in truth):
        scores['masks'] = ap50(truth, guesses, sizes, kind='segm')
    return scores, proposals


def _arrays(instances: Any) -> dict[str, Any]:
    """Return boxes x y w h, labels, scores and masks of instances."""
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    arrays = dict(bboxes=to_xywh(boxes), labels=instances.labels.numpy())
    if 'scores' in instances:
        arrays['scores'] = instances.scores.numpy()
    if 'masks' in instances:
        masks = instances.masks
        if hasattr(masks, 'to_ndarray'):
            masks = masks.to_ndarray()
        arrays['masks'] = [
            coco_mask.encode(np.asfortranarray(mask, np.uint8))
            for mask in np.asarray(masks)
        ]
    return arrays


def to_xywh(boxes: torch.Tensor) -> np.ndarray:
    """Return boxes (N, 4) as x y w h, from their corners."""
    arrays: np.ndarray = boxes.double().numpy().copy()
    arrays[:, 2:] -= arrays[:, :2]
    return arrays


def recall(found: Sequence[Any], samples: Sequence[Any]) -> float:
    """Return the share of objects that a proposal covers, IoU 0.5."""
    covered = objects = 0
    for proposals, sample in zip(found, samples):
        boxes = sample.gt_instances.bboxes
        boxes = getattr(boxes, 'tensor', boxes)
        objects += len(boxes)
        if len(boxes) and len(proposals):
            overlaps = coco_mask.iou(
                *(to_xywh(each) for each in (proposals.bboxes, boxes)),
                np.zeros(len(boxes), np.uint8),
            )  # (proposals, objects)
            covered += int((overlaps.max(0) >= 0.5).sum())
    return covered / max(objects, 1)


def ap50(
    truth: Sequence[dict[str, Any]],
    guesses: Sequence[dict[str, Any]],
    sizes: Sequence[tuple[int, int]],
    *,
    kind: str = 'bbox',
    classes: bool = True,
) -> float:
    """Return the AP at an IoU of 0.5.

    Args:
        truth: For each image `bboxes` (N, 4) as x y w h, `labels` (N,), and
            for masks `masks`, run-length encodings.
        guesses: The same with `scores` (N,).
        sizes: Height and width of each image.
        kind: 'bbox' or 'segm'.
        classes: If False, a prediction of any class counts.
    """
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image, (real, guess) in enumerate(zip(truth, guesses), 1):
        for target, source in ((annotations, real), (detections, guess)):
            for i, label in enumerate(source['labels']):
                entry = dict(
                    id=len(target) + 1,
                    image_id=image,
                    category_id=int(label),
                    bbox=source['bboxes'][i].tolist(),
                    area=float(np.prod(source['bboxes'][i][2:])),
                    iscrowd=0,
                    score=float(source.get('scores', [1.0] * (i + 1))[i]),
                )
                if kind == 'segm':
                    entry['segmentation'] = source['masks'][i]
                target.append(entry)
    if not detections:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = [COCO(), COCO()]
        labels = {entry['category_id'] for entry in annotations + detections}
        for api, entries in zip(coco, (annotations, detections)):
            api.dataset = dict(
                images=[
                    dict(id=i, height=h, width=w)
                    for i, (h, w) in enumerate(sizes, 1)
                ],
                categories=[dict(id=label, name='') for label in labels],
                annotations=entries,
            )
            api.createIndex()
        scorer = COCOeval(*coco, kind)
        scorer.params.useCats = int(classes)
        scorer.params.iouThrs = np.array([0.5])
        scorer.evaluate()
        scorer.accumulate()
    table = scorer.eval['precision'][..., 0, -1]
    table = table[table > -1]
    return float(table.mean()) if table.size else 0.0


def compare(
    info: Mapping[str, Any], packed: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Compare the objects of an image in the file and after the pipeline.

    Args:
        info: What the data set says of the image.
        packed: What the pipeline made of it, without augmentation.

    Yields:
        'boxes', 'masks' or 'classes', and a sentence.
    """
    name = f'image id {info["img_id"]}'
    sample = packed['data_samples']
    real = image_truth(info)['pred_instances']
    found = sample.gt_instances
    if len(found) != len(real):
        yield (
            'boxes',
            f'{name}: {len(found)} objects instead of {len(real)}',
        )
        return
    height, width = sample.img_shape[:2]
    factors = np.array([width / info['width'], height / info['height']])
    expected = to_xywh(real.bboxes) * np.tile(factors, 2)  # (N, 4)
    boxes = to_xywh(getattr(found.bboxes, 'tensor', found.bboxes))
    for i, (box, other) in enumerate(zip(expected, boxes)):
        if np.abs(box - other).max() > TOLERANCE:
            yield (
                'boxes',
                f'{name}, object {i + 1}: box x y w h {_shown(other)} instead '
                f'of {_shown(box)}, in pixels of the small image',
            )
    labels = zip(real.labels.tolist(), found.labels.tolist())
    for i, (label, other) in enumerate(labels):
        if label != other:
            yield (
                'classes',
                f'{name}, object {i + 1}: label {other} instead of {label}',
            )
    if 'masks' not in found or 'masks' not in real:
        return
    masks = found.masks.to_ndarray()  # (N, H, W)
    for i, (rle, mask) in enumerate(zip(real.masks, masks)):
        whole = coco_mask.decode(rle)
        small = cv2.resize(
            whole, mask.shape[::-1], interpolation=cv2.INTER_NEAREST
        )
        shared = np.logical_and(small, mask).sum()
        either = max(1, np.logical_or(small, mask).sum())
        if shared / either < LEAST_IOU:
            yield (
                'masks',
                f'{name}, object {i + 1}: the mask has an IoU of '
                f'{shared / either:.2f} with that of the file',
            )


def _shown(box: np.ndarray) -> str:
    return ', '.join(f'{value:.1f}' for value in box)
