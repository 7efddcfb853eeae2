"""Soft Teacher: a detector that learns from its own running mean."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmdet.models.detectors import SemiBaseDetector
from mmdet.models.utils import (
    filter_gt_instances,
    rename_loss_dict,
    reweight_loss_dict,
    unpack_gt_instances,
)
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi, bbox_project
from mmengine.logging import MessageHub
from torch import Tensor

from swin_dense.detection.soft_teacher.pseudo_boxes import (
    between_views,
    moved,
    uncertainty,
)
from swin_dense.detection.soft_teacher.roi_stages import (
    check_roi_head,
    roi_stages,
    rois_of,
    semantic_features,
)
from swin_dense.registry import MODELS

DEFAULTS: dict[str, Any] = dict(
    sup_weight=1.0,
    unsup_weight=4.0,
    pseudo_label_initial_score_thr=0.5,
    rpn_pseudo_thr=0.9,
    cls_pseudo_thr=0.9,
    reg_pseudo_thr=0.02,
    jitter_times=10,
    jitter_scale=0.06,
    min_pseudo_bbox_wh=(1e-2, 1e-2),
    burn_in=0,
)


class TeacherView(NamedTuple):
    """What the teacher knows about its view of the unlabelled images.

    Attributes:
        features: Pyramid of maps `(B, C, H_i, W_i)`.
        semantic: Result of `semantic_features` for it.
        samples: Information on each view.
    """

    features: Sequence[Tensor]
    semantic: dict[str, Tensor]
    samples: Sequence[DetDataSample]


@MODELS.register_module()
class SoftTeacher(SemiBaseDetector):
    """Soft Teacher (arXiv 2106.09018) for boxes, masks and cascades.

    A student and a teacher have the same detector. The student learns from
    labelled images as usual. On unlabelled images the teacher predicts pseudo
    boxes in a weakly augmented view, and the student learns from them in a
    strongly augmented one. `MeanTeacher` makes the teacher the running mean of
    the students. mmdet's class of this name knows neither masks nor cascades.

    The losses of unlabelled images, times `unsup_weight`:

    - the RPN learns from boxes of a score above `rpn_pseudo_thr`;
    - the classes of RoIs from those above `cls_pseudo_thr`. A RoI of the
      background counts as much as the teacher believes that it is;
    - boxes and masks of RoIs from those whose `uncertainty` is below
      `reg_pseudo_thr`.

    The paper has one stage. In a cascade each stage has these losses, with
    its weight; the teacher's stage of the same number judges the background,
    and jittered boxes run through the whole cascade. HTC's semantic branch
    learns from labelled images alone, as the authors say (issue 90 of their
    repository).

    Args:
        detector: Config of a two-stage detector.
        semi_train_cfg: Any of `DEFAULTS`. With a batch of labelled images
            alone, there are no losses of unlabelled ones; nor are there in
            the first `burn_in` iterations of a training. The authors have no
            burn-in, since they start from a pretrained backbone: a teacher
            that finds nothing calls everything background.
        semi_test_cfg: `dict(predict_on='student')` or `'teacher'`, which
            predicts; the student by default, as in the authors' code.
        data_preprocessor: `dict(type='mmdet.MultiBranchDataPreprocessor',
            data_preprocessor=...)`.
        init_cfg: See mmengine's BaseModule.

    Raises:
        TypeError: If a setting is unknown.
        ValueError: If a setting is out of range, or the detector is not of
            the supported kinds.
    """

    def __init__(
        self,
        detector: dict,
        semi_train_cfg: dict | None = None,
        semi_test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: Any = None,
    ) -> None:
        self.settings = _checked_settings(semi_train_cfg or {})
        super().__init__(
            detector=detector,
            semi_train_cfg=self.settings,
            semi_test_cfg=dict(
                dict.fromkeys(
                    ('predict_on', 'forward_on', 'extract_feat_on'), 'student'
                ),
                **(semi_test_cfg or {}),
            ),
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        check_roi_head(getattr(self.student, 'roi_head', None))

    def train(self, mode: bool = True) -> 'SoftTeacher':
        """Set the mode of the student; the teacher stays in evaluation."""
        super().train(mode)
        self.teacher.eval()
        return self

    def loss(
        self,
        multi_batch_inputs: dict[str, Tensor],
        multi_batch_data_samples: dict[str, list[DetDataSample]],
    ) -> dict[str, Tensor]:
        """Return the losses of a batch.

        Args:
            multi_batch_inputs: Images `(B, 3, H, W)` by branch: `sup`, and
                `unsup_teacher` and `unsup_student` with the same images.
            multi_batch_data_samples: Samples of each branch.

        Returns:
            Losses `sup_...` and `unsup_...`, and as `unsup_boxes...` the
            number of pseudo boxes per image: all, those for classes, and
            those for boxes and masks.
        """
        losses = {}
        if 'sup' in multi_batch_inputs:
            losses.update(
                self.loss_by_gt_instances(
                    multi_batch_inputs['sup'], multi_batch_data_samples['sup']
                )
            )
        has_unlabelled = 'unsup_student' in multi_batch_inputs
        if has_unlabelled and self.iteration() >= self.settings['burn_in']:
            samples = multi_batch_data_samples['unsup_student']
            view = self.look(
                multi_batch_inputs['unsup_teacher'],
                multi_batch_data_samples['unsup_teacher'],
            )
            self.label(view, samples)
            losses.update(
                self.loss_by_pseudo_instances(
                    multi_batch_inputs['unsup_student'], samples, view
                )
            )
        return losses

    @staticmethod
    def iteration() -> int:
        """Return how many iterations of the training are over.

        Outside of a training it is at its start.
        """
        return MessageHub.get_current_instance().runtime_info.get('iter', 0)

    @torch.no_grad()
    def look(
        self, inputs: Tensor, samples: list[DetDataSample]
    ) -> TeacherView:
        """Let the teacher predict pseudo boxes in its view.

        Args:
            inputs: Images `(B, 3, H, W)`.
            samples: Their samples. They get `gt_instances` with boxes,
                labels, scores, `reg_uncs` (see `uncertainty`), and masks if
                the detector has them.
        """
        teacher = self.teacher
        x = teacher.extract_feat(inputs)
        for sample in samples:
            # mmdet's cascades would turn masks of a flipped view back, and
            # its mask heads need the scale of views that are not resized.
            scale = sample.get('scale_factor', (1.0, 1.0))
            sample.set_metainfo(dict(flip=False, scale_factor=scale))
        metas = [sample.metainfo for sample in samples]
        # As in the authors' code, and not in mmdet's, the teacher has as many
        # proposals as in training.
        proposals = teacher.rpn_head.predict_by_feat(
            *teacher.rpn_head(x),
            batch_img_metas=metas,
            cfg=teacher.train_cfg.get('rpn_proposal', teacher.test_cfg.rpn),
            rescale=False,
        )
        found = teacher.roi_head.predict(x, proposals, samples, rescale=False)
        threshold = self.settings['pseudo_label_initial_score_thr']
        found = [each[each.scores > threshold] for each in found]
        semantic = semantic_features(teacher.roi_head, x)
        scatter = uncertainty(
            teacher.roi_head,
            x,
            semantic,
            samples,
            found,
            self.settings['jitter_times'],
            self.settings['jitter_scale'],
        )
        for sample, instances, uncertain in zip(samples, found, scatter):
            instances.reg_uncs = uncertain
            sample.gt_instances = instances
        return TeacherView(x, semantic, samples)

    def label(self, view: TeacherView, samples: list[DetDataSample]) -> None:
        """Give the student's samples the pseudo boxes of the teacher.

        Args:
            view: What the teacher saw.
            samples: Samples of the student's view of the same images.
        """
        for source, sample in zip(view.samples, samples):
            boxes = source.gt_instances.bboxes
            sample.gt_instances = moved(
                source.gt_instances,
                between_views(source, sample, boxes),
                sample.img_shape[:2],
            )
        filter_gt_instances(
            samples, wh_thr=self.settings['min_pseudo_bbox_wh']
        )

    def loss_by_pseudo_instances(
        self,
        batch_inputs: Tensor,
        batch_data_samples: list[DetDataSample],
        batch_info: Any = None,
    ) -> dict[str, Tensor]:
        """Return the losses of the student on unlabelled images.

        Args:
            batch_inputs: Images `(B, 3, H, W)` of the student's view.
            batch_data_samples: Samples with pseudo boxes.
            batch_info: The teacher's view, a `TeacherView`.
        """
        student, settings = self.student, self.settings
        for_classes = _chosen(
            batch_data_samples,
            lambda each: each.scores > settings['cls_pseudo_thr'],
        )
        for_boxes = _chosen(
            batch_data_samples,
            lambda each: each.reg_uncs < settings['reg_pseudo_thr'],
        )
        x = student.extract_feat(batch_inputs)
        losses, proposals = self._rpn_losses(x, batch_data_samples)
        semantic = semantic_features(student.roi_head, x)
        losses.update(
            self._class_losses(x, proposals, for_classes, semantic, batch_info)
        )
        losses.update(self._box_losses(x, proposals, for_boxes, semantic))
        losses = reweight_loss_dict(losses, settings['unsup_weight'])
        counts = {
            'boxes': batch_data_samples,
            'boxes_for_classes': for_classes,
            'boxes_for_regression': for_boxes,
        }
        for name, samples in counts.items():
            count = sum(len(sample.gt_instances) for sample in samples)
            losses[name] = batch_inputs.new_tensor(count / len(samples))
        return rename_loss_dict('unsup_', losses)

    def _rpn_losses(
        self, x: Sequence[Tensor], samples: list[DetDataSample]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Return the losses of the RPN, and its proposals for each image."""
        student = self.student
        samples = _chosen(
            samples,
            lambda each: each.scores > self.settings['rpn_pseudo_thr'],
        )
        for sample in samples:
            labels = sample.gt_instances.labels
            sample.gt_instances.labels = torch.zeros_like(labels)
        losses, proposals = student.rpn_head.loss_and_predict(
            x,
            samples,
            proposal_cfg=student.train_cfg.get(
                'rpn_proposal', student.test_cfg.rpn
            ),
        )
        losses = {
            name if 'rpn' in name else f'rpn_{name}': value
            for name, value in losses.items()
        }
        return losses, [each.bboxes for each in proposals]

    def _class_losses(
        self,
        x: Sequence[Tensor],
        proposals: Sequence[Tensor] | None,
        samples: list[DetDataSample],
        semantic: dict[str, Tensor],
        view: TeacherView,
    ) -> dict[str, Tensor]:
        """Return the losses of the classes of RoIs."""
        truths, ignored, metas = unpack_gt_instances(samples)
        losses = {}
        for stage, judge in zip(
            roi_stages(self.student.roi_head),
            roi_stages(self.teacher.roi_head),
        ):
            if proposals is None:
                break
            sampled = stage.sample(x, proposals, truths, ignored)
            results = stage.run(x, rois_of(sampled), semantic)
            targets = stage.bbox_head.get_targets(sampled, stage.train_cfg)
            labels, weights = targets[:2]
            with torch.no_grad():
                rois = _in_view_of(view, sampled, samples)
                seen = judge.run(view.features, rois, view.semantic)
                background = seen['cls_score'].softmax(dim=-1)[:, -1]
            is_background = labels == stage.bbox_head.num_classes
            weights = torch.where(
                is_background, background.to(weights), weights
            )
            loss = stage.bbox_head.loss_cls(
                results['cls_score'],
                labels,
                weights,
                avg_factor=weights.sum().clamp(min=1.0),
            )
            losses[stage.name('loss_cls')] = loss * stage.weight
            proposals = stage.refine(sampled, results, targets, metas)
        return losses

    def _box_losses(
        self,
        x: Sequence[Tensor],
        proposals: Sequence[Tensor] | None,
        samples: list[DetDataSample],
        semantic: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the losses of the boxes and masks of RoIs."""
        head = self.student.roi_head
        truths, ignored, metas = unpack_gt_instances(samples)
        losses = {}
        for stage in roi_stages(head):
            if proposals is None:
                break
            sampled = stage.sample(x, proposals, truths, ignored)
            results = stage.run(x, rois_of(sampled), semantic)
            targets = stage.bbox_head.get_targets(sampled, stage.train_cfg)
            found = stage.bbox_head.loss(
                None, results['bbox_pred'], results['rois'], *targets
            )
            proposals = stage.refine(sampled, results, targets, metas)
            if head.with_mask:
                # HTC's masks learn from boxes that this stage has refined.
                if getattr(head, 'interleaved', False) and proposals:
                    sampled = stage.sample(x, proposals, truths, ignored)
                found.update(
                    stage.mask_losses(x, sampled, results, truths, semantic)
                )
            losses.update(
                {
                    stage.name(name): value * stage.weight
                    for name, value in found.items()
                    if 'loss' in name
                }
            )
        return losses


def _chosen(samples: list[DetDataSample], rule: Any) -> list[DetDataSample]:
    """Return samples with the objects for which a rule holds."""
    result = []
    for sample in samples:
        chosen = sample.clone()
        chosen.gt_instances = sample.gt_instances[rule(sample.gt_instances)]
        result.append(chosen)
    return result


def _in_view_of(
    view: TeacherView, sampled: Sequence[Any], samples: list[DetDataSample]
) -> Tensor:
    """Return drawn boxes of the student as RoIs of the teacher's view."""
    boxes = []
    for source, target, result in zip(samples, view.samples, sampled):
        matrix = between_views(source, target, result.priors)
        boxes.append(bbox_project(result.priors, matrix, target.img_shape[:2]))
    return bbox2roi(boxes)


def _checked_settings(given: dict) -> dict[str, Any]:
    """Return all settings of the training.

    Raises:
        TypeError: If one is unknown.
        ValueError: If one is out of range.
    """
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise TypeError(
            f'semi_train_cfg has unknown settings: {", ".join(unknown)}. '
            f'Known are {", ".join(DEFAULTS)}'
        )
    settings = dict(DEFAULTS, **given)
    for name, value in settings.items():
        if name.endswith('_thr') and not 0 <= value <= 1:
            raise ValueError(
                f'semi_train_cfg.{name} is {value}; write a number from 0 to 1'
            )
        if name.endswith('_weight') and value < 0:
            raise ValueError(
                f'semi_train_cfg.{name} is {value}; write 0 or more'
            )
    if settings['burn_in'] < 0:
        raise ValueError(
            f'semi_train_cfg.burn_in is {settings["burn_in"]}; write a number '
            'of iterations, 0 or more'
        )
    if settings['jitter_times'] < 2:
        raise ValueError(
            f'semi_train_cfg.jitter_times is {settings["jitter_times"]}; a '
            'standard deviation needs at least 2'
        )
    return settings
