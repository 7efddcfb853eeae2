"""Detectors of other classes keep initial values or get copied rows.

That a row was moved to the right place is shown by what the hosts' heads put
out: the score of a class is the same under its new label.
"""

import pytest
import torch
from torch import nn

from helpers.state_dicts import random_like
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.load import load_model

models = pytest.importorskip('mmdet.models', reason='it has the heads')

OLD = ('person', 'car', 'dog', 'cat', 'bus')
NEW = ('cat', 'bird', 'person')  # 3 and 0 of the old ones
SHARED = ([3, 0], [0, 2])
ANCHORS = dict(
    type='AnchorGenerator', scales=[2, 4], ratios=[0.5, 1.0, 2.0], strides=[4]
)


def box_head(classes, agnostic=False):
    return models.Shared2FCBBoxHead(
        in_channels=4,
        fc_out_channels=6,
        roi_feat_size=2,
        num_classes=classes,
        reg_class_agnostic=agnostic,
    )


def mask_head(classes, width=5):
    return models.FCNMaskHead(
        num_convs=1,
        in_channels=4,
        conv_out_channels=width,
        num_classes=classes,
    )


class TwoStage(nn.Module):
    """The heads of a Mask R-CNN or a Cascade Mask R-CNN."""

    def __init__(self, classes, stages=0, width=5):
        super().__init__()
        self.rpn_head = models.RPNHead(
            in_channels=4, feat_channels=4, anchor_generator=ANCHORS
        )
        self.roi_head = nn.Module()
        self.roi_head.bbox_head = (
            nn.ModuleList(
                box_head(classes, agnostic=True) for _ in range(stages)
            )
            if stages
            else box_head(classes)
        )
        self.roi_head.mask_head = mask_head(classes, width)


def dense(classes, sigmoid=True):
    loss = dict(type='FocalLoss') if sigmoid else dict(type='CrossEntropyLoss')
    model = nn.Module()
    model.bbox_head = models.RetinaHead(
        num_classes=classes,
        in_channels=4,
        feat_channels=4,
        stacked_convs=1,
        anchor_generator=ANCHORS,
        loss_cls={**loss, 'use_sigmoid': sigmoid},
    )
    return model


def file_of(model, classes=OLD):
    meta = dict(dataset_meta=dict(classes=classes)) if classes else {}
    return dict(state_dict=random_like(model.state_dict()), meta=meta)


def load(model, file, how, classes=NEW):
    """Return a model with the weights of a checkpoint."""
    before = {k: v.clone() for k, v in model.state_dict().items()}
    return load_model(model, file, classes=classes, other_classes=how), before


def with_weights(model, file):
    model.load_state_dict(file['state_dict'])
    return model.eval()


def test_layers_of_another_count_start_afresh():
    file, model = file_of(TwoStage(5)), TwoStage(3)
    report, before = load(model, file, 'reinitialise')
    fresh = [
        f'roi_head.{layer}.{leaf}'
        for layer in (
            'bbox_head.fc_cls',
            'bbox_head.fc_reg',
            'mask_head.conv_logits',
        )
        for leaf in ('weight', 'bias')
    ]
    assert report.notes == [
        're-initialised: 5 -> 3 classes: roi_head.bbox_head.fc_cls, '
        'roi_head.bbox_head.fc_reg, roi_head.mask_head.conv_logits'
    ]
    assert report.missing == report.dropped == fresh
    assert not report.unexpected + report.resized
    assert len(report.loaded) == len(before) - 6
    assert report.notes[0] in report.summary()
    for name, value in model.state_dict().items():
        source = before if name in fresh else file['state_dict']
        assert torch.equal(value, source[name]), name


def test_rows_of_classes_of_the_same_name_are_copied():
    file, model = file_of(TwoStage(5)), TwoStage(3)
    report, before = load(model, file, 'copy')
    assert report.notes == [
        '5 -> 3 classes: rows of 2 copied (cat, person), 1 re-initialised '
        '(bird): roi_head.bbox_head.fc_cls, roi_head.bbox_head.fc_reg, '
        'roi_head.mask_head.conv_logits'
    ]
    assert len(report.resized) == 6
    assert len(report.loaded) == len(before) - 6
    assert not report.missing + report.unexpected + report.dropped
    state, reference = model.state_dict(), file['state_dict']
    name = 'roi_head.bbox_head.fc_cls.weight'
    expected = torch.stack(
        [
            reference[name][3],
            before[name][1],
            reference[name][0],
            reference[name][5],
        ]
    )  # cat, bird, person, background
    assert torch.equal(state[name], expected)
    name = 'roi_head.bbox_head.fc_reg.bias'
    expected = torch.cat(
        [reference[name][12:16], before[name][4:8], reference[name][:4]]
    )
    assert torch.equal(state[name], expected)


def test_scores_boxes_and_masks_of_a_class_stay():
    file, model = file_of(TwoStage(5)), TwoStage(3)
    load(model, file, 'copy')
    output, reference = (
        model.eval().roi_head,
        with_weights(TwoStage(5), file).roi_head,
    )
    x, old, new = torch.randn(7, 4, 2, 2), *SHARED
    scores, boxes = output.bbox_head(x)
    their_scores, their_boxes = reference.bbox_head(x)
    torch.testing.assert_close(
        scores[:, [*new, -1]], their_scores[:, [*old, -1]]
    )
    torch.testing.assert_close(
        boxes.view(7, 3, 4)[:, new], their_boxes.view(7, 5, 4)[:, old]
    )
    torch.testing.assert_close(
        output.mask_head(x)[:, new], reference.mask_head(x)[:, old]
    )


@pytest.mark.parametrize('sigmoid', [True, False])
def test_dense_heads_repeat_the_classes_for_each_prior(sigmoid):
    file, model = file_of(dense(5, sigmoid)), dense(3, sigmoid)
    report, before = load(model, file, 'copy')
    assert report.resized == [
        'bbox_head.retina_cls.weight',
        'bbox_head.retina_cls.bias',
    ]
    x, old, new = torch.randn(1, 4, 3, 2), *SHARED
    if not sigmoid:
        old, new = [*old, -1], [*new, -1]
    output, our_boxes = model.bbox_head((x,))
    reference, their_boxes = with_weights(dense(5, sigmoid), file).bbox_head(
        (x,)
    )
    output = output[0].permute(0, 2, 3, 1).reshape(-1, 3 + (not sigmoid))
    reference = reference[0].permute(0, 2, 3, 1).reshape(-1, 5 + (not sigmoid))
    torch.testing.assert_close(output[:, new], reference[:, old])
    assert torch.equal(our_boxes[0], their_boxes[0])
    bias = model.bbox_head.retina_cls.bias.unflatten(0, (6, -1))
    kept = before['bbox_head.retina_cls.bias'].unflatten(0, (6, -1))
    assert torch.equal(bias[:, 1], kept[:, 1])  # bird


def test_each_stage_of_a_cascade():
    file, model = file_of(TwoStage(5, stages=3)), TwoStage(3, stages=3)
    report, _ = load(model, file, 'copy')
    layers = [f'roi_head.bbox_head.{i}.fc_cls' for i in range(3)]
    assert report.notes[0].endswith(
        ': ' + ', '.join([*layers, 'roi_head.mask_head.conv_logits'])
    )
    for layer in layers:
        output, reference = model.state_dict(), file['state_dict']
        assert torch.equal(
            output[f'{layer}.bias'][[0, 2, 3]],
            reference[f'{layer}.bias'][[3, 0, 5]],
        )


def test_as_many_classes_in_another_order():
    order = ('dog', 'bus', 'person', 'cat', 'car')
    index = [OLD.index(name) for name in order]
    file = file_of(TwoStage(5))
    for how in ('refuse', 'reinitialise'):
        with pytest.raises(CheckpointError, match='labels would be swapped'):
            load(TwoStage(5), file, how, order)
    model = TwoStage(5)
    report, before = load(model, file, 'copy', order)
    assert report.notes[0].startswith(
        f'5 -> 5 classes: rows of 5 copied ({", ".join(order)}): roi_head'
    )
    x = torch.randn(7, 4, 2, 2)
    reference = with_weights(TwoStage(5), file).roi_head
    torch.testing.assert_close(
        model.eval().roi_head.bbox_head(x)[0],
        reference.bbox_head(x)[0][:, [*index, 5]],
    )
    torch.testing.assert_close(
        model.roi_head.mask_head(x), reference.mask_head(x)[:, index]
    )
    assert len(report.loaded) == len(before) - 6


def test_as_many_classes_of_other_names():
    classes = ('person', 'car', 'dog', 'cat', 'tram')
    file, model = file_of(dense(5)), dense(5)
    _, before = load(model, file, 'copy', classes)
    bias = model.bbox_head.retina_cls.bias.unflatten(0, (6, 5))
    reference = file['state_dict']['bbox_head.retina_cls.bias']
    assert torch.equal(bias[:, :4], reference.unflatten(0, (6, 5))[:, :4])
    kept = before['bbox_head.retina_cls.bias'].unflatten(0, (6, 5))
    assert torch.equal(bias[:, 4], kept[:, 4])
    # Without 'copy', heads are loaded unchanged, with a warning.
    report, _ = load(model, file, 'reinitialise', classes)
    assert not report.notes
    assert torch.equal(model.bbox_head.retina_cls.bias, reference)


def test_the_same_classes_change_nothing():
    file, model = file_of(TwoStage(5)), TwoStage(5)
    report, before = load(model, file, 'copy', OLD)
    assert not report.notes
    assert report.loaded == list(before)


@pytest.mark.parametrize('old', [OLD, ('dog',)])
def test_proposals_are_no_classes(old):
    file, model = file_of(TwoStage(len(old)), old), TwoStage(1)
    report, _ = load(model, file, 'copy', ('cat',))
    assert len(report.resized) == 6
    assert not any('rpn' in name for name in report.resized)
    assert torch.equal(
        model.rpn_head.rpn_cls.bias,
        file['state_dict']['rpn_head.rpn_cls.bias'],
    )


def test_no_common_class():
    report, _ = load(dense(2), file_of(dense(5)), 'copy', ('fork', 'spoon'))
    assert report.notes == [
        '5 -> 2 classes: rows of 0 copied, 2 re-initialised (fork, spoon): '
        'bbox_head.retina_cls'
    ]


def test_names_that_are_not_of_that_head():
    # Such as the 80 things of a model that predicts 133 things and stuff.
    report, _ = load(dense(3), file_of(dense(9)), 'copy')
    assert report.notes == [
        're-initialised: 9 -> 3 classes: bbox_head.retina_cls'
    ]


def test_names_are_needed_to_copy():
    with pytest.raises(CheckpointError, match='the given state_dict does not'):
        load(dense(3), file_of(dense(5), None), 'copy')
    with pytest.raises(CheckpointError, match='the data set does not name'):
        load(dense(3), file_of(dense(5)), 'copy', None)
    report, _ = load(dense(3), file_of(dense(5), None), 'reinitialise')
    assert report.notes[0].startswith('re-initialised: 5 -> 3')


@pytest.mark.parametrize('how', ['refuse', 'reinitialise', 'copy'])
def test_heads_of_another_width_do_not_fit(how):
    file, model = file_of(TwoStage(5, width=6)), TwoStage(3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load(model, file, how)
    text = str(error.value)
    first = (
        'bbox_head.fc_cls.weight: (6, 6) in the file, (4, 6) in'
        if how == 'refuse'
        else 'mask_head.convs.0.conv.weight: (6, 4, 3, 3) in'
    )
    assert f'have another shape (roi_head.{first}' in text
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_other_heads_do_not_fit():
    cascade = file_of(TwoStage(5, stages=3))
    with pytest.raises(CheckpointError, match='are not in the file'):
        load(TwoStage(3), cascade, 'reinitialise')
    # A regressor shared by all classes, and one for each class.
    file = file_of(TwoStage(5))
    model = TwoStage(3)
    model.roi_head.bbox_head = box_head(3, agnostic=True)
    with pytest.raises(CheckpointError, match=r'fc_reg.weight: \(20, 6\) in'):
        load(model, file, 'reinitialise')


def test_unknown_request():
    with pytest.raises(ValueError, match="'refuse', 'reinitialise' or 'copy'"):
        load(dense(3), file_of(dense(5)), 'rename')


def test_heads_of_segmentors():
    pytest.importorskip('regex', reason='mmsegmentation imports it')
    FCNHead = pytest.importorskip('mmseg.models').FCNHead

    def segmentor(classes):
        model = nn.Module()
        model.decode_head, model.auxiliary_head = (
            FCNHead(
                in_channels=4,
                channels=4,
                num_classes=classes,
                num_convs=1,
                norm_cfg=dict(type='GN', num_groups=2),
            )
            for _ in range(2)
        )
        return model

    file, model = file_of(segmentor(5)), segmentor(3)
    report, _ = load(model, file, 'copy')
    assert report.notes[0].endswith(
        ': decode_head.conv_seg, auxiliary_head.conv_seg'
    )
    x, old, new = [torch.randn(1, 4, 5, 5)], *SHARED
    reference = with_weights(segmentor(5), file)
    for head in ('decode_head', 'auxiliary_head'):
        torch.testing.assert_close(
            getattr(model.eval(), head)(x)[:, new],
            getattr(reference, head)(x)[:, old],
        )


class Queries(nn.Module):
    """The layers of DINO and Mask2Former that depend on the classes."""

    def __init__(self, classes):
        super().__init__()
        self.bbox_head = nn.Module()
        self.bbox_head.num_classes = classes
        self.bbox_head.cls_out_channels = classes
        self.bbox_head.cls_branches = nn.ModuleList(
            nn.Linear(6, classes) for _ in range(2)
        )
        self.dn_query_generator = nn.Module()
        self.dn_query_generator.num_classes = classes
        self.dn_query_generator.label_embedding = nn.Embedding(classes, 6)
        self.panoptic_head = nn.Module()
        self.panoptic_head.num_classes = classes
        self.panoptic_head.cls_embed = nn.Linear(6, classes + 1)


@pytest.mark.parametrize('new', [NEW, ('bus', 'cat', 'car', 'person', 'fox')])
def test_heads_with_queries(new):
    file, model = file_of(Queries(5)), Queries(len(new))
    report, before = load(model, file, 'copy', new)
    assert report.resized == list(before)
    for name, value in model.state_dict().items():
        reference = file['state_dict'][name]
        for index, label in enumerate(new):
            source, row = (
                (reference, OLD.index(label))
                if label in OLD
                else (before[name], index)
            )
            assert torch.equal(value[index], source[row]), name
        if 'cls_embed' in name:  # no object
            assert torch.equal(value[-1], reference[-1])
