"""The head of RepPoints V2 (arXiv 2007.08508) as Swin's authors trained it.

Each location of the pyramid predicts nine points, refines them, and classifies
the object. A verification branch predicts maps of corners and of foreground,
which are inputs of the other two branches.

Dimension key: B images, C classes, P points of an object, N locations of all
levels of the pyramid, h and w the size of a level.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmcv.ops import DeformConv2d
from mmdet.models.dense_heads import RepPointsHead
from mmdet.models.utils import multi_apply
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import InstanceList
from mmengine.model import bias_init_with_prob, normal_init
from torch import Tensor, nn

from swin_dense.compat.operators.sampling import without_autocast
from swin_dense.detection.reppoints_v2.corner_pools import (
    BOTTOM_RIGHT,
    TOP_LEFT,
    CornerPools,
)
from swin_dense.detection.reppoints_v2.decode import ImageMaps, decode_image
from swin_dense.detection.reppoints_v2.points import (
    assign_points,
    count_per_image,
    decode_boxes,
    flatten_levels,
    make_grid,
    matched_boxes,
)
from swin_dense.detection.reppoints_v2.verification_losses import (
    corner_losses,
    semantic_loss,
)
from swin_dense.registry import MODELS

PRIOR = 0.01  # initial probability of classes and corners
CORNER_MAPS = 6  # of two corners: a score, and offsets of x and y
# Layers whose weights are drawn from a normal distribution, by prefix.
DRAWN_NORMAL = ('cls_convs', 'reg_convs', 'shared_convs', 'reppoints_')
EMBEDDING = 'reppoints_sem_embedding'
WITH_PRIOR = (
    'reppoints_cls_out',
    'reppoints_sem_out',
    'reppoints_hem_tl_score_out',
    'reppoints_hem_br_score_out',
)


@MODELS.register_module()
class RepPointsV2Head(RepPointsHead):
    """RepPoints with verification: corners and foreground beside points.

    The parameter names are those of the released checkpoints. The first two
    points of an object are the top-left and bottom-right corner of its box.
    Boxes come from the refined points; except on the finest level, their
    corners are then moved to the likeliest corners nearby.

    Args:
        num_shared_convs: Number of convolutions of the verification branch,
            which follow those of the regression.
        corner_channels: Channels of corner pooling.
        loss_heatmap: Loss of the heat maps of corners.
        loss_offset: Loss of the offsets of corners.
        loss_sem: Loss of the foreground maps; see `SeparateFocalLoss`.
        init_cfg: See mmengine; by default the initialisation of the paper.
        **kwargs: Arguments of mmdet's RepPointsHead, except
            `transform_method`, `use_grid_points` and `center_init`.
            `loss_cls` must take the arguments of QualityFocalLoss.
    """

    def __init__(
        self,
        *args: Any,
        num_shared_convs: int = 1,
        corner_channels: int = 64,
        loss_heatmap: dict,
        loss_offset: dict,
        loss_sem: dict,
        init_cfg: dict | list[dict] | None = None,
        **kwargs: Any,
    ) -> None:
        self.num_shared_convs = num_shared_convs
        self.corner_channels = corner_channels
        super().__init__(
            *args,
            transform_method='exact_minmax',  # read by no method of ours
            init_cfg=init_cfg,
            **kwargs,
        )
        self.loss_heatmap = MMDET_MODELS.build(loss_heatmap)
        self.loss_offset = MMDET_MODELS.build(loss_offset)
        self.loss_sem = MMDET_MODELS.build(loss_sem)

    def _init_layers(self) -> None:
        width, points = self.feat_channels, self.point_feat_channels
        num_coordinates = 2 * self.num_points

        def convs(count: int, first: int) -> nn.ModuleList:
            return nn.ModuleList(
                ConvModule(
                    width if i else first,
                    width,
                    3,
                    padding=1,
                    norm_cfg=self.norm_cfg,
                )
                for i in range(count)
            )

        def deformable() -> DeformConv2d:
            return DeformConv2d(
                width + CORNER_MAPS,
                points,
                self.dcn_kernel,
                padding=self.dcn_pad,
            )

        self.relu = nn.ReLU()
        self.cls_convs = convs(self.stacked_convs, self.in_channels)
        self.reg_convs = convs(self.stacked_convs, self.in_channels)
        self.shared_convs = convs(self.num_shared_convs, width)

        self.reppoints_sem_out = nn.Conv2d(width, self.num_classes, 1)
        self.reppoints_sem_embedding = ConvModule(
            width, width, 1, norm_cfg=self.norm_cfg
        )
        for name, directions in (('tl', TOP_LEFT), ('br', BOTTOM_RIGHT)):
            pools = CornerPools(
                directions, width, self.corner_channels, self.norm_cfg
            )
            setattr(self, f'hem_{name}', pools)
            for kind, channels in (('score', 1), ('offset', 2)):
                out = nn.Conv2d(width, channels, 3, padding=1)
                setattr(self, f'reppoints_hem_{name}_{kind}_out', out)

        self.reppoints_pts_init_conv = nn.Conv2d(width, points, 3, padding=1)
        self.reppoints_pts_init_out = nn.Conv2d(points, num_coordinates, 1)
        self.reppoints_cls_conv = deformable()
        self.reppoints_cls_out = nn.Conv2d(points, self.cls_out_channels, 1)
        self.reppoints_pts_refine_conv = deformable()
        self.reppoints_pts_refine_out = nn.Conv2d(points, num_coordinates, 1)

    def init_weights(self) -> None:
        """Initialise the weights.

        Corner pools and the embedding keep the initial weights of PyTorch and
        mmcv.
        """
        super().init_weights()
        if self.init_cfg is not None:
            return
        for name, module in self.named_modules():
            if not name.startswith(DRAWN_NORMAL) or EMBEDDING in name:
                continue
            if isinstance(module, DeformConv2d):
                nn.init.normal_(module.weight, std=0.01)
            elif isinstance(module, nn.Conv2d):
                bias = bias_init_with_prob(PRIOR) if name in WITH_PRIOR else 0
                normal_init(module, std=0.01, bias=bias)

    def forward(self, feats: Sequence[Tensor]) -> tuple[list[Tensor], ...]:
        """Predict all maps from the pyramid.

        Args:
            feats: Maps (B, channels, h, w), one for each level.

        Returns:
            Six lists with a map for each level, at least in float32: logits
            of classes (B, C, h, w); offsets of the initial points, and of the
            refined points, in strides, y before x, (B, P * 2, h, w) each;
            logits of top-left and bottom-right corners (B, 2, h, w); offsets
            of corners in strides, x before y, (B, 4, h, w); logits of
            foreground (B, C, h, w).
        """
        return multi_apply(self.forward_single, feats)

    def forward_single(self, x: Tensor) -> tuple[Tensor, ...]:
        """Predict the maps of one level; see `forward`."""
        cls_feat = pts_feat = x
        for conv in self.cls_convs:
            cls_feat = conv(cls_feat)
        for conv in self.reg_convs:
            pts_feat = conv(pts_feat)
        shared = pts_feat
        for conv in self.shared_convs:
            shared = conv(shared)
        foreground = _exactly(self.reppoints_sem_out, shared)
        embedding = self.reppoints_sem_embedding(shared)
        cls_feat = cls_feat + embedding
        pts_feat = pts_feat + embedding
        corner_scores, corner_offsets = self._corners(shared + embedding)

        points_init = _exactly(
            self.reppoints_pts_init_out,
            self.relu(self.reppoints_pts_init_conv(pts_feat)),
        )
        # Classification and refinement also train the initial points.
        displacement = points_init.detach().lerp(
            points_init, self.gradient_mul
        )
        displacement = displacement - self.dcn_base_offset.to(displacement)
        corners = torch.cat([corner_scores, corner_offsets], 1)
        cls_feat, pts_feat = (
            self.relu(
                conv(
                    torch.cat([feat, corners.to(feat.dtype)], 1),
                    displacement.to(feat.dtype),
                )
            )
            for conv, feat in (
                (self.reppoints_cls_conv, cls_feat),
                (self.reppoints_pts_refine_conv, pts_feat),
            )
        )
        points_refine = _exactly(self.reppoints_pts_refine_out, pts_feat)
        return (
            _exactly(self.reppoints_cls_out, cls_feat),
            points_init,
            points_refine + points_init.detach(),
            corner_scores,
            corner_offsets,
            foreground,
            *self._more_outputs(cls_feat),
        )

    def _corners(self, feat: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, 2, h, w) and offsets (B, 4, h, w) of corners."""
        top_left, bottom_right = self.hem_tl(feat), self.hem_br(feat)
        scores = [
            _exactly(self.reppoints_hem_tl_score_out, top_left),
            _exactly(self.reppoints_hem_br_score_out, bottom_right),
        ]
        offsets = [
            _exactly(self.reppoints_hem_tl_offset_out, top_left),
            _exactly(self.reppoints_hem_br_offset_out, bottom_right),
        ]
        return torch.cat(scores, 1), torch.cat(offsets, 1)

    def _more_outputs(self, cls_feat: Tensor) -> tuple[Tensor, ...]:
        """Return further maps of a subclass; none here."""
        return ()

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        points_init: list[Tensor],
        points_refine: list[Tensor],
        corner_scores: list[Tensor],
        corner_offsets: list[Tensor],
        foreground: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: InstanceList | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses, each the sum over the levels.

        Args:
            cls_scores: Outputs of `forward`, as the five that follow.
            points_init: See `forward`.
            points_refine: See `forward`.
            corner_scores: See `forward`.
            corner_offsets: See `forward`.
            foreground: See `forward`.
            batch_gt_instances: `bboxes` and `labels` of each image.
            batch_img_metas: `pad_shape` and `batch_input_shape` of each image.
            batch_gt_instances_ignore: Not used.
        """
        losses, _ = self._point_losses(
            cls_scores,
            points_init,
            points_refine,
            batch_gt_instances,
            batch_img_metas,
        )
        losses.update(
            self._verification_losses(
                corner_scores,
                corner_offsets,
                foreground,
                batch_gt_instances,
                batch_img_metas,
            )
        )
        return losses

    def _point_losses(
        self,
        cls_scores: list[Tensor],
        points_init: list[Tensor],
        points_refine: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses of classes and points, and the assignment.

        Returns:
            The losses, and the number of the object assigned to the refined
            points of each location, (B, N), -1 for none.
        """
        grid = make_grid(self.prior_generator, cls_scores, batch_img_metas)
        place = torch.cat([grid.points, grid.strides[:, None]], 1)
        boxes_init, boxes_refine = (
            decode_boxes(flatten_levels(points), grid.points, grid.strides)
            for points in (points_init, points_refine)
        )  # (B, N, 4)
        matches_init = assign_points(
            self.init_assigner,
            place.expand(len(boxes_init), -1, -1),
            grid,
            batch_gt_instances,
        )
        matches = assign_points(
            self.refine_assigner,
            boxes_init.detach(),
            grid,
            batch_gt_instances,
            by_level=True,
        )
        scale = self.point_base_scale * grid.strides.expand_as(matches)
        losses = {}
        for name, loss, boxes, match in (
            ('loss_pts_init', self.loss_bbox_init, boxes_init, matches_init),
            ('loss_pts_refine', self.loss_bbox_refine, boxes_refine, matches),
        ):
            positive = match >= 0
            target, _ = matched_boxes(match, batch_gt_instances)
            size = scale[positive][:, None]
            losses[name] = loss(
                boxes[positive] / size,
                target / size,
                avg_factor=count_per_image(positive),
            )

        # The target score of a class is the IoU of the predicted box.
        positive = matches >= 0
        target, labels = matched_boxes(matches, batch_gt_instances)
        quality = boxes_refine.new_zeros(matches.shape)
        quality[positive] = bbox_overlaps(
            boxes_refine[positive].detach(), target, is_aligned=True
        )
        classes = torch.full_like(matches, self.num_classes)
        classes[positive] = labels
        losses['loss_cls'] = self.loss_cls(
            flatten_levels(cls_scores)[grid.valid],
            (classes[grid.valid], quality[grid.valid]),
            avg_factor=count_per_image(positive),
        )
        return losses, matches

    def _verification_losses(
        self,
        corner_scores: list[Tensor],
        corner_offsets: list[Tensor],
        foreground: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
    ) -> dict[str, Tensor]:
        """Return the losses of corners and foreground."""
        losses = corner_losses(
            corner_scores,
            corner_offsets,
            make_grid(self.prior_generator, corner_scores, batch_img_metas),
            self.point_strides,
            batch_gt_instances,
            self.loss_heatmap,
            self.loss_offset,
        )
        losses['loss_sem'] = semantic_loss(
            foreground,
            batch_gt_instances,
            batch_img_metas[0]['batch_input_shape'],
            self.loss_sem,
        )
        return losses

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        points_init: list[Tensor],
        points_refine: list[Tensor],
        corner_scores: list[Tensor],
        corner_offsets: list[Tensor],
        foreground: list[Tensor],
        *more_outputs: list[Tensor],
        batch_img_metas: list[dict],
        cfg: dict | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> InstanceList:
        """Return the detections of each image.

        Args:
            cls_scores: Outputs of `forward`, as the five that follow.
            points_init: See `forward`.
            points_refine: See `forward`.
            corner_scores: See `forward`.
            corner_offsets: See `forward`.
            foreground: See `forward`.
            *more_outputs: Further maps of a subclass.
            batch_img_metas: `img_shape` of each image, and `scale_factor`
                if `rescale` is true.
            cfg: Settings to use instead of `test_cfg`.
            rescale: If true, boxes are in pixels of the file.
            with_nms: If true, NMS is applied.

        Returns:
            `bboxes` (M, 4), `scores` and `labels` (M,) of each image.
        """
        settings: Any = self.test_cfg if cfg is None else cfg
        priors = self.prior_generator.grid_priors(
            [level.shape[-2:] for level in cls_scores],
            dtype=cls_scores[0].dtype,
            device=cls_scores[0].device,
        )
        extra = self._extra_fields(points_init, *more_outputs)
        results = []
        for image, meta in enumerate(batch_img_metas):
            maps = ImageMaps(
                _of_image(cls_scores, image),
                _of_image(points_refine, image),
                _of_image(corner_scores, image),
                _of_image(corner_offsets, image),
                [
                    {
                        name: values[image].detach()
                        for name, values in level.items()
                    }
                    for level in extra
                ],
            )
            boxes = decode_image(
                maps,
                priors,
                self.point_strides,
                meta['img_shape'],
                settings.get('nms_pre', -1),
                settings.score_thr,
            )
            results.append(
                self._bbox_post_process(
                    boxes,
                    settings,
                    rescale=rescale,
                    with_nms=with_nms,
                    img_meta=meta,
                )
            )
        return results

    def _extra_fields(
        self, points_init: list[Tensor], *more_outputs: list[Tensor]
    ) -> list[dict[str, Tensor]]:
        """Return further fields of detections: maps (B, K, h, w) by name."""
        return [{} for _ in points_init]


def _of_image(levels: Sequence[Tensor], image: int) -> list[Tensor]:
    """Return the maps of one image, without gradients."""
    return [level[image].detach() for level in levels]


def _exactly(layer: Any, x: Tensor) -> Tensor:
    """Apply an output layer in the type of its weights, also under autocast.

    16-bit types are too coarse for logarithms of corner scores and for
    coordinates. These layers have few channels, so the cost is small.
    """
    with without_autocast(x.device.type):
        return layer(x.to(layer.weight.dtype))
