"""Merged boxes and masks equal plain tests and values by hand.

`detector_steps.py` runs detectors step by step; here they predict at once.
"""

import weakref
from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.config import Config

from helpers.detectors import (
    PIPELINE,
    RESIZE,
    build,
    load,
    settings,
    write_image,
)
from swin_dense.detection.tta import DetTTAModel
from swin_dense.engine.tta_config import add_tta

# Rounding in float32 of coordinates up to 100.
TOLERANCE = dict(rtol=0, atol=1e-4)
SOFT = dict(type='soft_nms', iou_threshold=0.5)


def views(path, **options):
    """Load all views of an image as a batch."""
    cfg = Config(
        dict(
            model=dict(bbox_head=dict()),
            test_dataloader=dict(dataset=dict(pipeline=deepcopy(PIPELINE))),
        )
    )
    add_tta(cfg, **options)
    return load(path, cfg.test_dataloader.dataset.pipeline)


def augmented(model, path, sizes=None, **options):
    (merged,) = DetTTAModel(model, sizes).test_step(views(path, **options))
    return merged.pred_instances


@torch.no_grad()
@pytest.mark.parametrize(
    'kind, nms, options',
    [
        ('mask_rcnn', None, {}),
        ('mask_rcnn', SOFT, dict(class_agnostic=True)),
        ('mask_rcnn', None, dict(box_only=True)),
        ('cascade', SOFT, {}),
        ('htc', None, {}),
        ('htc', None, dict(box_only=True)),
        ('retinanet', None, {}),
        ('retinanet', SOFT, {}),
        ('atss', None, {}),
        ('reppoints_v2', None, {}),
        ('mask_reppoints_v2', None, {}),
        ('mask_reppoints_v2', SOFT, {}),
    ],
)
def test_one_view_is_plain_testing(kind, nms, options, tmp_path):
    config = settings(kind)
    rcnn = config.test_cfg.get('rcnn', config.test_cfg)
    rcnn.nms = nms or rcnn.nms
    if options.get('class_agnostic'):
        config.roi_head.bbox_head.reg_class_agnostic = True
    if options.get('box_only'):
        for key in ('mask_head', 'mask_roi_extractor'):
            config.roi_head[key] = None
    model = build(config)
    path = write_image(tmp_path)
    plain = model.test_step(load(path, PIPELINE))[0].pred_instances
    merged = augmented(model, path, ratios=[1.0], flip=False)
    assert len(plain) > 5
    assert {*merged.keys()} == {*plain.keys()}
    if 'masks' in plain:
        # A pixel may be at the threshold within rounding.
        changed = merged.pop('masks') != plain.masks
        assert changed.float().mean() < 1e-4
    for key in merged.keys():
        torch.testing.assert_close(merged[key], plain[key], rtol=0, atol=1e-5)
    if 'masks' in plain:
        assert 0 < plain.masks.float().mean() < 1


@torch.no_grad()
@pytest.mark.parametrize(
    'kind', ['mask_rcnn', 'cascade', 'htc', 'atss', 'mask_reppoints_v2']
)
def test_flipped_view_is_the_mirrored_file(kind, tmp_path):
    """A flipped view equals the plain test of the flipped file, flipped.

    Only the flipped view counts: no box sizes count in the other.
    """
    model = build(settings(kind))
    model_of_boxes = DetTTAModel(model)
    batch = views(write_image(tmp_path), ratios=[1.0])
    only_flipped = {key: values[1:] for key, values in batch.items()}
    merged = model_of_boxes.test_step(only_flipped)[0].pred_instances
    mirrored = write_image(tmp_path, 'mirrored.png', mirrored=True)
    plain = model.test_step(load(mirrored, PIPELINE))[0].pred_instances
    boxes = plain.bboxes.clone()
    boxes[:, 0::2] = 100 - plain.bboxes[:, [2, 0]]
    assert len(boxes) > 5
    torch.testing.assert_close(merged.bboxes, boxes, **TOLERANCE)
    torch.testing.assert_close(merged.scores, plain.scores, **TOLERANCE)
    assert torch.equal(merged.labels, plain.labels)
    if 'masks' in plain:
        differs = (merged.masks != plain.masks.flip(-1)).float().mean()
        assert differs < 1e-3  # pixels with a probability near 0.5


def overlaps(box, boxes):
    """Return the IoU of a box and other boxes."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(
        box[:2], boxes[:, :2]
    )
    inside = sides.clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return inside / (areas + (box[2:] - box[:2]).prod() - inside)


def suppress(boxes, scores, labels, cfg):
    """Return indices and scores of NMS or soft-NMS, box by box."""
    scores, left, kept = scores.copy(), np.arange(len(boxes)), []
    while len(left):
        best = left[scores[left].argmax()]
        left = left[left != best]
        kept.append(best)
        shared = overlaps(boxes[best], boxes[left])
        shared *= labels[left] == labels[best]
        if cfg.type == 'nms':
            left = left[shared <= cfg.iou_threshold]
        else:
            scores[left] *= np.where(
                shared >= cfg.iou_threshold, 1 - shared, 1
            )
            left = left[scores[left] >= 1e-3]
    return kept, scores[kept]


def by_hand(model, path, scales, roi):
    """Merge the results of a plain test without NMS for each view."""
    cfg = model.roi_head.test_cfg if roi else model.bbox_head.test_cfg
    nms, most = cfg.nms, cfg.max_per_img
    cfg.update(nms=Config(dict(type='nms', iou_threshold=2.0)), max_per_img=-1)
    if not roi:
        cfg.max_per_img = 10**6
    if roi:
        heads = model.roi_head.mask_head
        with_mask, model.roi_head.mask_head = heads, None
    samples, results = [], []
    for scale in scales:
        for mirrored in (False, True):
            steps = [PIPELINE[0], dict(RESIZE, scale=scale), PIPELINE[2]]
            file = write_image(path, f'{mirrored}.png', mirrored)
            data = load(file, steps)
            samples.append((data, mirrored))
            result = model.test_step(data)[0].pred_instances.numpy()
            if mirrored:
                result.bboxes[:, 0::2] = 100 - result.bboxes[:, [2, 0]]
            results.append(result)
    cfg.update(nms=nms, max_per_img=most)
    boxes, scores, labels = (
        np.concatenate([result[key] for result in results])
        for key in ('bboxes', 'scores', 'labels')
    )
    kept, scores = suppress(boxes, scores, labels, nms)
    boxes, scores, labels = (
        x[:most] for x in (boxes[kept], scores, labels[kept])
    )
    if not roi:
        return boxes, scores, labels, None
    model.roi_head.mask_head = with_mask
    return boxes, scores, labels, masks_by_hand(model, boxes, labels, samples)


def masks_by_hand(model, boxes, labels, samples):
    """Return the mean of the pasted probabilities of all views."""
    from mmengine.structures import InstanceData

    cfg = model.roi_head.test_cfg
    cfg.mask_thr_binary = (
        -1
    )  # mmdet then returns probabilities in units of 1 / 255
    total = 0
    for data, mirrored in samples:
        data = model.data_preprocessor(data, False)
        sample = data['data_samples'][0]
        there = torch.from_numpy(boxes).clone()
        if mirrored:
            there[:, 0::2] = 100 - there[:, [2, 0]]
        there *= torch.tensor(sample.scale_factor).repeat(2).float()
        pyramid = model.extract_feat(data['inputs'])
        extra = {}
        if hasattr(model.roi_head, 'semantic_head'):
            extra['semantic_heat'] = model.roi_head.semantic_head(pyramid)[1]
        (result,) = model.roi_head.predict_mask(
            pyramid,
            batch_img_metas=[sample.metainfo],
            results_list=[
                InstanceData(bboxes=there, labels=torch.from_numpy(labels))
            ],
            rescale=True,
            **extra,
        )
        masks = result.masks.float() / 255
        total = total + (masks.flip(-1) if mirrored else masks)
    cfg.mask_thr_binary = 0.5
    return total / len(samples)


@torch.no_grad()
@pytest.mark.parametrize(
    'kind, nms',
    [('mask_rcnn', None), ('cascade', SOFT), ('htc', None), ('atss', None)],
)
def test_merging_by_hand(kind, nms, tmp_path):
    config = settings(kind)
    cfg = config.test_cfg.get('rcnn', config.test_cfg)
    cfg.update(nms=nms or cfg.nms, max_per_img=400)
    model = build(config)
    scales = [(96, 64), (60, 40)]
    boxes, scores, labels, masks = by_hand(
        model, tmp_path, scales, 'roi_head' in config
    )
    merged = augmented(model, write_image(tmp_path), scales=scales)
    assert len(merged) > 20 and len({*labels}) > 1
    np.testing.assert_allclose(merged.bboxes, boxes, atol=1e-4)
    np.testing.assert_allclose(merged.scores, scores, atol=1e-5)
    np.testing.assert_array_equal(merged.labels, labels)
    if masks is not None:
        clear = (masks - 0.5).abs() > 2 / 255
        assert clear.float().mean() > 0.5
        assert torch.equal(merged.masks[clear], masks[clear] > 0.5)
        assert merged.masks.any() and merged.masks.dtype == torch.bool


@torch.no_grad()
def test_only_boxes_of_some_sizes(tmp_path):
    model = build(settings('retinanet'))
    model.bbox_head.test_cfg.max_per_img = 1000
    path = write_image(tmp_path)

    def sides(**options):
        boxes = augmented(model, path, flip=False, **options).bboxes
        return ((boxes[:, 2:] - boxes[:, :2]).prod(1)) ** 0.5

    everything = sides(ratios=[1.0])
    assert (everything < 32).any() and (everything > 32).any()
    for letters, low, high in (('s', 0, 32), ('m', 32, 96), ('sm', 0, 96)):
        chosen = sides(ratios=[1.0], sizes=[letters])
        assert len(chosen) and chosen.min() >= low and chosen.max() < high
    # Small boxes of the first view and other boxes of the second.
    mixed = sides(ratios=[1.0, 0.5], sizes=['s', 'ml'])
    assert (mixed < 32).any() and (mixed > 32).any()


@torch.no_grad()
def test_batches_do_not_mix(tmp_path):
    model = DetTTAModel(build(settings('mask_rcnn')))
    alone = [
        views(write_image(tmp_path, f'{i}.png', mirrored=i), ratios=[1.0, 0.5])
        for i in (False, True)
    ]
    together = {
        key: [a + b for a, b in zip(alone[0][key], alone[1][key])]
        for key in alone[0]
    }
    for data, merged in zip(alone, model.test_step(together)):
        (expected,) = model.test_step(data)
        for key in ('bboxes', 'scores', 'labels', 'masks'):
            assert torch.equal(
                merged.pred_instances[key], expected.pred_instances[key]
            )


@torch.no_grad()
@pytest.mark.parametrize('keep, most, runs', [(False, 1, 11), (True, 6, 6)])
def test_memory(keep, most, runs, tmp_path):
    """Features of one view are kept at a time, or those of all views."""
    model = DetTTAModel(build(settings('mask_rcnn')), keep_features=keep)
    compute, alive, counts = model.host.features, [], []

    def watched(image):
        counts.append(1 + sum(ref() is not None for ref in alive))
        pyramid, extra = compute(image)
        alive.append(weakref.ref(pyramid[0]))
        return pyramid, extra

    model.host.features = watched
    data = views(write_image(tmp_path))
    (merged,) = model.test_step(data)
    assert (max(counts), len(counts)) == (most, runs)
    model.host.features, model.keep_features = compute, not keep
    (other,) = model.test_step(data)
    assert torch.equal(merged.pred_instances.masks, other.pred_instances.masks)


@torch.no_grad()
@pytest.mark.parametrize(
    'kind', ['mask_rcnn', 'cascade', 'htc', 'atss', 'mask_reppoints_v2']
)
def test_nothing_found(kind, tmp_path):
    config = settings(kind)
    config.test_cfg.get('rcnn', config.test_cfg).score_thr = 1.0
    merged = augmented(build(config), write_image(tmp_path))
    assert len(merged) == 0 and merged.bboxes.shape == (0, 4)
    assert {*merged.keys()} >= {'bboxes', 'scores', 'labels'}
    if kind != 'atss':
        assert merged.masks.shape == (0, 72, 100)


@torch.no_grad()
def test_nothing_proposed(tmp_path):
    config = settings('cascade')
    config.test_cfg.rpn.min_bbox_size = 10**6
    merged = augmented(build(config), write_image(tmp_path))
    assert merged.masks.shape == (0, 72, 100)


@pytest.mark.parametrize('sizes', [['x'], ['s', '']])
def test_unknown_sizes(sizes):
    with pytest.raises(ValueError, match="must be letters of 'sml'"):
        DetTTAModel(build(settings('retinanet')), sizes)


def test_number_of_sizes(tmp_path):
    with pytest.raises(ValueError, match='got 1 sizes for 2 views'):
        augmented(
            build(settings('retinanet')),
            write_image(tmp_path),
            ['s'],
            ratios=[1.0],
        )
