"""Instances in photographs from a config and a checkpoint."""
from typing import Any, List, Sequence

import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData

from swin_dense.detection.masks import BoxMasks, keep_in_boxes
from swin_dense.engine.prediction import BasePredictor, Picture

__all__ = ['Predictor']


class Predictor(BasePredictor):
    """A trained detector that takes files or arrays; see BasePredictor."""

    scope = 'mmdet'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        keep_in_boxes(self.model)

    def __call__(self, images: Sequence[Picture]) -> List[InstanceData]:
        """Predict for one batch.

        Args:
            images: Paths, or arrays (H, W, 3), BGR, uint8.

        Returns:
            For each image its instances, on the CPU, in its own pixels:
            `bboxes` (N, 4), `labels`, `scores`, and `masks` (N, H, W) bool
            where the model predicts them.

        Raises:
            ValueError: If a file is no readable image.
        """
        found = self.predict(images)
        for instances in found:
            if isinstance(instances.get('masks'), BoxMasks):
                instances.masks = torch.from_numpy(
                    instances.masks.to_ndarray())
        return found

    def predict(self, images: Sequence[Picture]) -> List[InstanceData]:
        """Predict for one batch, in memory that large images do not need.

        As by calling the predictor, but `masks` are `BoxMasks` where the
        model has mask heads of mmdet's usual kind.
        """
        batch = pseudo_collate(self._prepare(images))
        with torch.no_grad():
            samples = self.model.test_step(batch)
        return [sample.pred_instances.cpu() for sample in samples]
