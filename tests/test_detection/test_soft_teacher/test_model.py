"""Losses of Soft Teacher with one stage, a cascade and HTC."""

import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from mmengine.structures import InstanceData, PixelData

from helpers.detectors import CLASSES, settings
from helpers.models import randomize
from swin_dense.detection.soft_teacher.model import SoftTeacher
from swin_dense.detection.soft_teacher.roi_stages import roi_stages

KINDS = ('mask_rcnn', 'cascade', 'htc')
SHAPE = (64, 96)
# Everything that the teacher finds is a pseudo box.
ALL = dict(
    pseudo_label_initial_score_thr=0.0,
    rpn_pseudo_thr=0.0,
    cls_pseudo_thr=0.0,
    reg_pseudo_thr=1.0,
)


def detector(kind):
    """Return a small detector whose samplers take all boxes."""
    model = settings(kind)
    stages = model.train_cfg.rcnn
    for stage in stages if isinstance(stages, list) else [stages]:
        stage.sampler.num = 100000
    model.train_cfg.rpn.sampler.num = 100000
    model.train_cfg.rpn_proposal.update(nms_pre=30, max_per_img=12)
    model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=4)
    return model


def build(kind, **semi):
    """Return a Soft Teacher with random weights, other in the teacher."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='swin_dense.SoftTeacher',
            detector=detector(kind),
            semi_train_cfg={**ALL, **semi},
            data_preprocessor=dict(
                type='mmdet.MultiBranchDataPreprocessor',
                data_preprocessor=dict(type='mmdet.DetDataPreprocessor'),
            ),
        )
    )
    return randomize(model).train()


def sample(labelled=False, stuff=False, **matrix):
    result = DetDataSample(
        metainfo=dict(
            img_shape=SHAPE,
            ori_shape=SHAPE,
            pad_shape=SHAPE,
            batch_input_shape=SHAPE,
            scale_factor=(1.0, 1.0),
            **matrix,
        )
    )
    if labelled:
        result.gt_instances = InstanceData(
            bboxes=torch.tensor([[8.0, 8, 40, 40], [50, 20, 90, 60]]),
            labels=torch.tensor([0, 2]),
            masks=BitmapMasks(torch.ones(2, *SHAPE).byte().numpy(), *SHAPE),
        )
        if stuff:
            result.gt_sem_seg = PixelData(
                sem_seg=torch.randint(0, 3, (1, *SHAPE))
            )
    result.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long()
    )
    return result


def batch(kind, branches=('sup', 'unsup_teacher', 'unsup_student')):
    torch.manual_seed(1)
    image = torch.randn(1, 3, *SHAPE)
    inputs = {name: image for name in branches}
    samples = {
        name: [sample(name == 'sup', kind == 'htc')] for name in branches
    }
    return inputs, samples


def losses_of(model, kind, **which):
    torch.manual_seed(2)
    return model.loss(*batch(kind, **which))


@pytest.mark.parametrize('kind', KINDS)
def test_all_losses_reach_the_student_alone(kind):
    model = build(kind)
    losses = losses_of(model, kind)
    stages = [''] if kind == 'mask_rcnn' else ['s0.', 's1.', 's2.']
    expected = {
        f'unsup_{stage}loss_{part}'
        for stage in stages
        for part in ('cls', 'bbox', 'mask')
    }
    found = {
        name for name in losses if name.startswith('unsup_') and 'loss' in name
    }
    # The semantic branch learns from labelled images alone.
    assert found == expected | {'unsup_loss_rpn_cls', 'unsup_loss_rpn_bbox'}
    assert ('sup_loss_semantic_seg' in losses) == (kind == 'htc')
    # mmdet names the losses of all classes 'acc' as well; those do not count.
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    assert all(p.grad is None for p in model.teacher.parameters())
    without = [
        name for name, p in model.student.named_parameters() if p.grad is None
    ]
    assert without == []


def test_the_weight_scales_all_losses_of_unlabelled_images():
    one = losses_of(build('mask_rcnn', unsup_weight=1.0), 'mask_rcnn')
    four = losses_of(build('mask_rcnn', unsup_weight=4.0), 'mask_rcnn')
    assert one.keys() == four.keys()
    for name, value in one.items():
        factor = 4 if 'unsup' in name and 'loss' in name else 1
        for a, b in zip(
            value if isinstance(value, list) else [value],
            four[name] if isinstance(value, list) else [four[name]],
        ):
            torch.testing.assert_close(a * factor, b)
    assert one['unsup_boxes'] == 4


@pytest.mark.parametrize('kind', KINDS)
def test_backgrounds_count_as_much_as_the_teacher_believes(kind, monkeypatch):
    """Each stage's weights and loss, from the teacher's own softmax."""
    model = build(kind)
    seen = []
    for stage in roi_stages(model.student.roi_head):
        record_loss(stage.bbox_head, seen, monkeypatch)
    rois = []
    record_sampling(model, rois, monkeypatch)
    losses = losses_of(
        model, kind, branches=('unsup_teacher', 'unsup_student')
    )

    teacher = model.teacher
    image = batch(kind)[0]['unsup_teacher']
    with torch.no_grad():
        x = teacher.extract_feat(image)
        extra = {}
        if kind == 'htc':
            extra['semantic_feat'] = teacher.roi_head.semantic_head(x)[1]
        for index, (scores, labels, weights, factor) in enumerate(seen):
            stage = () if kind == 'mask_rcnn' else (index,)
            judged = teacher.roi_head._bbox_forward(
                *stage, x, rois[index], **extra
            )['cls_score'].softmax(dim=1)[:, CLASSES]
            background = labels == CLASSES
            assert background.any()
            assert not background.all()
            torch.testing.assert_close(weights[background], judged[background])
            assert (weights[~background] == 1).all()
            terms = -scores.log_softmax(dim=1)[range(len(labels)), labels]
            loss = (terms * weights).sum() / max(weights.sum().item(), 1)
            assert factor == pytest.approx(weights.sum().item())
            name = 'loss_cls' if kind == 'mask_rcnn' else f's{index}.loss_cls'
            stage_weight = (1, 0.5, 0.25)[index]
            torch.testing.assert_close(
                losses[f'unsup_{name}'].detach(), 4 * stage_weight * loss
            )


def record_loss(head, seen, monkeypatch):
    compute = head.loss_cls.forward

    def recorded(scores, labels, weights, avg_factor):
        seen.append((scores.detach(), labels, weights, avg_factor.item()))
        return compute(scores, labels, weights, avg_factor=avg_factor)

    monkeypatch.setattr(head.loss_cls, 'forward', recorded)


def record_sampling(model, rois, monkeypatch):
    """Note the RoIs of the class losses: those whose targets have labels."""
    from swin_dense.detection.soft_teacher import model as module

    move = module._in_view_of

    def recorded(view, sampled, samples):
        rois.append(bbox2roi([result.priors for result in sampled]))
        moved = move(view, sampled, samples)
        # Both views are the same, but boxes are cut off at the border.
        torch.testing.assert_close(moved, rois[-1])
        return moved

    monkeypatch.setattr(module, '_in_view_of', recorded)


@pytest.mark.parametrize('kind', KINDS)
def test_no_pseudo_boxes(kind):
    """Backgrounds go on to teach the classes; boxes and masks have no loss."""
    model = build(kind, pseudo_label_initial_score_thr=1.0)
    losses = losses_of(model, kind)
    assert losses['unsup_boxes'] == 0
    for name, value in losses.items():
        if name.startswith('unsup') and ('bbox' in name or 'mask' in name):
            assert sum(value if isinstance(value, list) else [value]) == 0
    total, _ = model.parse_losses(losses)
    total.backward()
    for parameter in model.student.parameters():
        assert torch.isfinite(parameter.grad).all()


def test_only_labelled_images():
    losses = losses_of(build('mask_rcnn'), 'mask_rcnn', branches=('sup',))
    assert {name.split('_')[0] for name in losses} == {'sup'}


def test_unlabelled_images_count_after_the_burn_in(monkeypatch):
    model = build('mask_rcnn', burn_in=2)
    found = {}
    for iteration in (0, 1, 2):
        monkeypatch.setattr(model, 'iteration', lambda: iteration)  # noqa: B023
        losses = losses_of(model, 'mask_rcnn')
        found[iteration] = {name.split('_')[0] for name in losses}
    assert found == {0: {'sup'}, 1: {'sup'}, 2: {'sup', 'unsup'}}


def pseudo_labelled(count=3):
    instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 40, 40]]).repeat(count, 1),
        labels=torch.zeros(count).long(),
        scores=torch.tensor([0.95, 0.6, 0.99]),
        reg_uncs=torch.tensor([0.5, 0.01, 0.01]),
    )
    result = sample()
    result.gt_instances = instances
    return result


def test_thresholds_choose_the_boxes_of_each_loss(monkeypatch):
    """Scores 0.95, 0.6, 0.99 and uncertainties 0.5, 0.01, 0.01."""
    model = build(
        'mask_rcnn',
        rpn_pseudo_thr=0.97,
        cls_pseudo_thr=0.9,
        reg_pseudo_thr=0.02,
    )
    asked = {}

    def record(name, result):
        def recorded(x, *arguments):
            samples = next(
                each
                for each in arguments
                if isinstance(each, list)
                and isinstance(each[0], DetDataSample)
            )
            asked[name] = samples[0].gt_instances.scores.tolist()
            return result

        return recorded

    monkeypatch.setattr(model, '_class_losses', record('classes', {}))
    monkeypatch.setattr(model, '_box_losses', record('boxes', {}))

    def rpn(x, samples, proposal_cfg):
        asked['rpn'] = samples[0].gt_instances.scores.tolist()
        assert samples[0].gt_instances.labels.tolist() == [0]
        return {}, [InstanceData(bboxes=torch.zeros(0, 4))]

    monkeypatch.setattr(model.student.rpn_head, 'loss_and_predict', rpn)
    losses = model.loss_by_pseudo_instances(
        torch.zeros(1, 3, *SHAPE), [pseudo_labelled()], None
    )
    assert asked['rpn'] == pytest.approx([0.99])
    assert asked['classes'] == pytest.approx([0.95, 0.99])
    assert asked['boxes'] == pytest.approx([0.6, 0.99])
    assert losses['unsup_boxes'] == 3
    assert losses['unsup_boxes_for_classes'] == 2
    assert losses['unsup_boxes_for_regression'] == 2


@pytest.mark.parametrize('kind', KINDS)
def test_pseudo_boxes_are_the_teachers_predictions(kind):
    """With training's proposals, in the student's view, with masks."""
    model = build(kind)
    inputs, samples = batch(kind)
    flip = torch.tensor([[-1.0, 0, SHAPE[1]], [0, 1, 0], [0, 0, 1]])
    student = sample(homography_matrix=flip.numpy())
    with torch.no_grad():
        view = model.look(inputs['unsup_teacher'], samples['unsup_teacher'])
        model.label(view, [student])
        teacher = copy.deepcopy(model.teacher).eval()
        proposal = ConfigDict(teacher.train_cfg.rpn_proposal)
        teacher.rpn_head.test_cfg = proposal
        expected = teacher.predict(
            inputs['unsup_teacher'], [sample()], rescale=False
        )[0].pred_instances
    found = student.gt_instances
    x0, y0, x1, y1 = expected.bboxes.unbind(1)
    mirrored = torch.stack([SHAPE[1] - x1, y0, SHAPE[1] - x0, y1], dim=1)
    assert len(found) == 4
    torch.testing.assert_close(found.bboxes, mirrored, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.labels, expected.labels)
    masks = torch.from_numpy(found.masks.masks).bool()
    assert torch.equal(masks, expected.masks.flip(-1))
    assert masks.any()
    assert (found.reg_uncs > 0).all()


def test_the_teacher_stays_in_evaluation():
    model = build('mask_rcnn')
    assert model.student.training
    assert not any(module.training for module in model.teacher.modules())


def test_the_student_predicts():
    model = build('mask_rcnn').eval()
    image = batch('mask_rcnn')[0]['sup']
    with torch.no_grad():
        found = model.predict(image, [sample()])[0].pred_instances
        expected = model.student.predict(image, [sample()])[0].pred_instances
    assert torch.equal(found.bboxes, expected.bboxes)


@pytest.mark.parametrize(
    ('semi', 'error', 'message'),
    [
        (dict(cls_thr=0.5), TypeError, 'unknown settings: cls_thr. Known are'),
        (dict(cls_pseudo_thr=9), ValueError, 'cls_pseudo_thr is 9; write a'),
        (dict(unsup_weight=-1), ValueError, 'unsup_weight is -1; write 0 or'),
        (dict(jitter_times=1), ValueError, 'jitter_times is 1; a standard'),
        (dict(burn_in=-1), ValueError, 'burn_in is -1; write a number of it'),
    ],
)
def test_bad_settings(semi, error, message):
    with pytest.raises(error, match=message):
        SoftTeacher(detector('mask_rcnn'), semi)


def test_a_detector_without_stages():
    with pytest.raises(ValueError, match='roi_head is NoneType. Soft Teacher'):
        SoftTeacher(settings('retinanet'))


def test_a_box_head_without_background():
    model = detector('mask_rcnn')
    model.roi_head.bbox_head.loss_cls.use_sigmoid = True
    with pytest.raises(ValueError, match='without a class for the background'):
        SoftTeacher(model)
