"""COCO values are by class name; empty evaluations are refused."""

import copy
import json

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import METRICS as ROOT_METRICS
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from helpers.coco import HEIGHT, WIDTH, dataset_config, tiny_data, write_data
from swin_dense.detection.dataset import CheckedCocoDataset
from swin_dense.detection.metric import CheckedCocoMetric
from swin_dense.synthetic.shapes import generate_coco

BOTH = ['bbox', 'segm']


def truth_as_predictions(path, classes):
    """Return the predictions of a perfect model for an annotation file."""
    coco = COCO(path)
    names = {c['id']: c['name'] for c in coco.dataset['categories']}
    samples = []
    for image in coco.dataset['images']:
        anns = coco.imgToAnns[image['id']]
        boxes = torch.tensor(
            [ann['bbox'] for ann in anns], dtype=torch.float64
        ).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        masks = np.array([coco.annToMask(ann) for ann in anns], bool).reshape(
            -1, image['height'], image['width']
        )
        labels = [classes.index(names[ann['category_id']]) for ann in anns]
        samples.append(
            dict(
                img_id=image['id'],
                pred_instances=dict(
                    bboxes=boxes,
                    scores=torch.linspace(0.9, 0.8, len(anns)),
                    labels=torch.tensor(labels, dtype=torch.long),
                    masks=torch.from_numpy(masks),
                ),
            )
        )
    return samples


def evaluate(metric, dataset_meta, samples, size=None):
    metric.dataset_meta = dataset_meta
    metric.process(None, copy.deepcopy(samples))
    return metric.evaluate(len(samples) if size is None else size)


def tiny(root, classes=('cat', 'dog'), data=None):
    """Return the meta data of a data set and perfect predictions."""
    path, _ = write_data(root, data or tiny_data())
    meta = dict(classes=tuple(classes), ann_file=str(path))
    return meta, truth_as_predictions(path, classes)


@pytest.mark.parametrize('classes', [('cat', 'dog'), ('dog', 'cat')])
def test_truth_scores_one_in_any_order(tmp_path, classes):
    """The file has cat (id 20) before dog (id 10); no order matters."""
    meta, samples = tiny(tmp_path, classes)
    scores = evaluate(
        CheckedCocoMetric(metric=BOTH, classwise=True), meta, samples
    )
    for metric in BOTH:
        assert scores[f'coco/{metric}_mAP'] == 1
        assert scores[f'coco/{metric}_AP_cat'] == 1


def test_truth_of_shapes_scores_one(tmp_path):
    """Read through the data set: polygons, RLE and empty images."""
    files = generate_coco(
        tmp_path, {'val': 25}, image_size=96, radius=(8, 30), empty=0.2
    )
    order = ('square', 'triangle', 'circle')
    dataset = CheckedCocoDataset(
        **dataset_config(
            tmp_path,
            'val',
            test_mode=True,
            with_mask=True,
            metainfo=dict(classes=order),
        )
        | dict(ann_file='annotations/instances_val.json')
    )
    samples = truth_as_predictions(files['val'], order)
    assert any(not len(s['pred_instances']['labels']) for s in samples)
    scores = evaluate(
        CheckedCocoMetric(metric=BOTH), dataset.metainfo, samples, len(dataset)
    )
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP'] == 1
    assert scores['coco/segm_mAP_s'] == 1


def test_classwise_names_the_right_class(tmp_path):
    """COCOeval sorts category ids; class names must be sorted with them."""
    meta, samples = tiny(tmp_path, ('cat', 'dog'))
    for sample in samples:
        instances = sample['pred_instances']
        keep = instances['labels'] == 0
        for key in instances:
            instances[key] = instances[key][keep]
    scores = evaluate(
        CheckedCocoMetric(metric=BOTH, classwise=True), meta, samples
    )
    for metric in BOTH:
        assert scores[f'coco/{metric}_AP_cat'] == 1
        assert scores[f'coco/{metric}_AP_dog'] == 0
        assert scores[f'coco/{metric}_mAP'] == 0.5


def test_equals_mmdet_where_it_is_right(tmp_path):
    """If the file is sorted by id, both metrics must agree."""
    from mmdet.evaluation import CocoMetric

    data = tiny_data()
    data['categories'].reverse()
    meta, samples = tiny(tmp_path, ('dog', 'cat'), data)
    rng = torch.Generator().manual_seed(0)
    for sample in samples:
        instances = sample['pred_instances']
        instances['bboxes'] += torch.randn(
            instances['bboxes'].shape, generator=rng, dtype=torch.float64
        )
        sample['ori_shape'] = (HEIGHT, WIDTH)
    values = evaluate(CheckedCocoMetric(metric=BOTH), meta, samples)
    host_values = evaluate(
        CocoMetric(ann_file=meta['ann_file'], metric=BOTH), meta, samples
    )
    host_values = {
        name: value for name, value in host_values.items() if value >= 0
    }
    assert values.keys() == host_values.keys()
    assert 0 < values['coco/bbox_mAP'] < 1
    for name, value in host_values.items():
        assert values[name] == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize('numbers', [(100, 300, 1000), (1, 10, 1000), [400]])
def test_many_objects_in_an_image(tmp_path, numbers):
    data = tiny_data()
    first = data['annotations'][0]
    data['annotations'] = [
        dict(
            first,
            id=i,
            bbox=[i % 20 * 2, i // 20 * 2, 2, 2],
            area=4,
            segmentation=[[0, 0, 1, 0, 1, 1]],
        )
        for i in range(300)
    ]
    meta, samples = tiny(tmp_path, data=data)
    metric = CheckedCocoMetric(
        proposal_nums=numbers, metric_items=['mAP', 'mAP_50', 'mAP_s']
    )
    assert evaluate(metric, meta, samples) == {
        'coco/bbox_mAP': 1,
        'coco/bbox_mAP_50': 1,
        'coco/bbox_mAP_s': 1,
    }


def test_detections_above_the_limit_are_named(tmp_path, logged):
    meta, samples = tiny(tmp_path)
    for sample in samples:
        sample['pred_instances']['labels'][:] = 0
    items = ['AR@1', 'AR_s@1']
    metric = CheckedCocoMetric(proposal_nums=(1,), metric_items=items)
    evaluate(metric, meta, samples)
    assert (
        '2 images have more than 1 detections of one class, ids 7, 5'
        in logged.text
    )
    with pytest.raises(ValueError, match=r"unknown metric_items \['AR@100'\]"):
        CheckedCocoMetric(proposal_nums=(1,), metric_items=['AR@100'])
    with pytest.raises(
        ValueError, match='proposal_nums=.* must be positive numbers'
    ):
        CheckedCocoMetric(proposal_nums=())


def test_an_object_of_id_0_is_found(tmp_path):
    """pycocotools takes id 0 of a matched object for false."""
    data = tiny_data()
    for number, ann in enumerate(data['annotations']):
        ann['id'] = number
    meta, samples = tiny(tmp_path, data=data)
    assert evaluate(CheckedCocoMetric(), meta, samples)['coco/bbox_mAP'] == 1


@pytest.mark.parametrize('flag', [dict(iscrowd=1), dict(ignore=1)])
def test_nothing_but_crowds_to_compare_with(tmp_path, flag):
    data = tiny_data()
    for ann in data['annotations']:
        ann.update(flag)
    meta, samples = tiny(tmp_path, data=data)
    metric = CheckedCocoMetric()
    metric.dataset_meta = meta
    message = r'no annotations to compare with: all 4 are crowds \(iscrowd=1\)'
    with pytest.raises(ValueError, match=message):
        metric.prepare()
    with pytest.raises(ValueError, match=message):
        evaluate(metric, meta, samples)


def test_ignored_objects_count_neither_as_missed_nor_as_found(tmp_path):
    data = tiny_data()
    data['annotations'][0]['ignore'] = 1
    meta, samples = tiny(tmp_path, data=data)
    assert evaluate(CheckedCocoMetric(), meta, samples)['coco/bbox_mAP'] == 1
    first = samples[0]['pred_instances']
    for key in first:
        first[key] = first[key][1:]
    assert evaluate(CheckedCocoMetric(), meta, samples)['coco/bbox_mAP'] == 1


@pytest.mark.parametrize(
    'change, message',
    [
        (
            dict(segmentation=dict(size=[30, 40], counts=[5, 7])),
            'not the sum of their run lengths, annotations 101',
        ),
        (
            dict(segmentation=[[1, 1, 5, float('nan'), 5, 5]]),
            'NaN or infinity, annotations 101',
        ),
        (dict(category_id=None), '101: category_id is null'),
    ],
)
def test_the_metric_checks_what_it_reads(tmp_path, change, message):
    data = tiny_data()
    data['annotations'][1].update(change)
    path, _ = write_data(tmp_path, data)
    metric = CheckedCocoMetric(metric='segm')
    metric.dataset_meta = dict(classes=('cat', 'dog'), ann_file=str(path))
    with pytest.raises(ValueError, match=message):
        metric.prepare()


def test_values_without_objects_are_left_out(tmp_path, logged):
    meta, samples = tiny(tmp_path)
    scores = evaluate(CheckedCocoMetric(metric=BOTH), meta, samples)
    assert all(0 <= value <= 1 for value in scores.values())
    assert 'coco/bbox_mAP_l' not in scores
    assert '-1.000' not in logged.text
    assert 'area= large | maxDets=1000 ] =   n/a' in logged.text


def test_predictions_are_written_in_coco_format(tmp_path):
    meta, samples = tiny(tmp_path)
    metric = CheckedCocoMetric(
        metric=BOTH, outfile_prefix=str(tmp_path / 'predictions')
    )
    evaluate(metric, meta, samples)
    boxes = json.loads((tmp_path / 'predictions.bbox.json').read_text())
    masks = json.loads((tmp_path / 'predictions.segm.json').read_text())
    truth = tiny_data()['annotations']
    assert sorted(
        (b['image_id'], b['category_id'], *b['bbox']) for b in boxes
    ) == sorted((a['image_id'], a['category_id'], *a['bbox']) for a in truth)
    areas = [int(mask_api.area(m['segmentation'])) for m in masks]
    assert sorted(areas) == sorted(a['area'] for a in truth)


def test_format_only(tmp_path):
    meta, samples = tiny(tmp_path)
    prefix = str(tmp_path / 'predictions')
    assert (
        evaluate(
            CheckedCocoMetric(outfile_prefix=prefix, format_only=True),
            meta,
            samples,
        )
        == {}
    )
    assert (tmp_path / 'predictions.bbox.json').exists()


def test_masks_are_kept_as_rle(tmp_path):
    meta, samples = tiny(tmp_path)
    metric = CheckedCocoMetric(metric=BOTH)
    metric.process(None, samples)
    for mask in metric.results[0]['masks']:
        assert set(mask) == {'size', 'counts'}


def nothing(samples):
    samples = copy.deepcopy(samples)
    for sample in samples:
        instances = sample['pred_instances']
        sample['pred_instances'] = {
            key: instances[key][:0] for key in instances
        }
    return samples


def test_nothing_detected_is_an_error(tmp_path):
    meta, samples = tiny(tmp_path)
    with pytest.raises(
        ValueError, match='nothing was detected in any of the 3 images. Likely'
    ):
        evaluate(CheckedCocoMetric(metric=BOTH), meta, nothing(samples))


def test_nothing_detected_early_in_training(tmp_path, logged):
    meta, samples = tiny(tmp_path)
    hub = MessageHub.get_instance('early in training')
    hub.update_info('max_iters', 10)
    hub.update_info('loop_stage', 'val')
    scores = evaluate(CheckedCocoMetric(metric=BOTH), meta, nothing(samples))
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP_50'] == 0
    assert 'all values are reported as 0' in logged.text
    # A test after training in the same process is not a validation.
    hub.update_info('loop_stage', 'test')
    with pytest.raises(ValueError, match='nothing was detected'):
        evaluate(CheckedCocoMetric(metric=BOTH), meta, nothing(samples))
    scores = evaluate(CheckedCocoMetric(empty='zero'), meta, nothing(samples))
    assert scores['coco/bbox_mAP'] == 0


def test_nothing_matches(tmp_path, logged):
    meta, samples = tiny(tmp_path)
    for sample in samples:
        sample['pred_instances']['bboxes'] += 500
    scores = evaluate(CheckedCocoMetric(), meta, samples)
    assert scores['coco/bbox_mAP'] == 0
    assert '4 detections in 3 images, highest score 0.900' in logged.text


def test_images_not_scored(tmp_path):
    meta, samples = tiny(tmp_path)
    with pytest.raises(
        ValueError,
        match='2 images were scored, the data set has 3; not scored are ids 9',
    ):
        evaluate(CheckedCocoMetric(), meta, samples[:2], size=3)


def test_images_of_another_set(tmp_path):
    meta, samples = tiny(tmp_path)
    samples[1]['img_id'] = 55
    with pytest.raises(
        ValueError, match=r'does not have, ids 55; it has 7, 5, 9'
    ):
        evaluate(CheckedCocoMetric(), meta, samples)


def test_a_part_of_the_images(tmp_path):
    """A data set with `indices` is scored on its images only."""
    meta, samples = tiny(tmp_path)
    scores = evaluate(CheckedCocoMetric(metric=BOTH), meta, samples[:1])
    assert scores['coco/bbox_mAP'] == 1


def test_there_is_one_annotation_file(tmp_path):
    meta, samples = tiny(tmp_path)
    other, _ = write_data(tmp_path, tiny_data(), 'other')
    same = str(tmp_path / 'train' / '..' / 'annotations' / 'train.json')
    assert evaluate(CheckedCocoMetric(same), meta, samples)
    with pytest.raises(
        ValueError,
        match='reads .*other.json, the data set .*train.json: leave ',
    ):
        evaluate(CheckedCocoMetric(str(other)), meta, samples)
    with pytest.raises(ValueError, match='no annotation file to compare'):
        evaluate(CheckedCocoMetric(), dict(classes=meta['classes']), samples)


def test_no_annotations_to_compare_with(tmp_path):
    data = tiny_data()
    meta, samples = tiny(tmp_path)
    del data['annotations']
    write_data(tmp_path, data)
    with pytest.raises(ValueError, match='has no annotations to compare'):
        evaluate(CheckedCocoMetric(), meta, samples)


def test_model_without_masks(tmp_path):
    meta, samples = tiny(tmp_path)
    for sample in samples:
        del sample['pred_instances']['masks']
    with pytest.raises(ValueError, match='predicts no masks'):
        evaluate(CheckedCocoMetric(metric=BOTH), meta, samples)
    assert evaluate(CheckedCocoMetric(), meta, samples)['coco/bbox_mAP'] == 1


def test_label_without_a_class(tmp_path):
    meta, samples = tiny(tmp_path)
    samples[0]['pred_instances']['labels'][0] = 2
    with pytest.raises(ValueError, match='label 2, but there are 2 classes'):
        evaluate(CheckedCocoMetric(), meta, samples)


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(metric='proposal'), "must be 'bbox', 'segm' or both"),
        (dict(empty='ignore'), "empty='ignore' must be"),
        (dict(metric_items=['mAP_60']), r"unknown metric_items \['mAP_60'\]"),
    ],
)
def test_unknown_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        ROOT_METRICS.build(dict(type='swin_dense.CheckedCocoMetric', **wrong))
