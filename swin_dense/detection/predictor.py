"""Instances in photographs from a config and a checkpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from torch import nn

from swin_dense.checkpoints.class_names import reads_text, stored_classes
from swin_dense.detection.masks import BoxMasks, keep_in_boxes
from swin_dense.engine.base_predictor import (
    BasePredictor,
    ImageLike,
    configured_classes,
)


class DetectionPredictor(BasePredictor):
    """A trained detector that takes files or arrays; see BasePredictor.

    Args:
        texts: Names of what to look for, for a model that reads text (GLIP,
            Grounding DINO); by default the classes of the config's test set
            or, where it names none, of the checkpoint.

    Raises:
        ValueError: If `texts` are given to a model that reads none.
    """

    scope = 'mmdet'

    def __init__(
        self, *args: Any, texts: Sequence[str] | None = None, **kwargs: Any
    ) -> None:
        self._texts = texts
        super().__init__(*args, **kwargs)
        keep_in_boxes(self.model)

    def __call__(self, images: Sequence[ImageLike]) -> list[InstanceData]:
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
                    instances.masks.to_ndarray()
                )
        return found

    def predict(self, images: Sequence[ImageLike]) -> list[InstanceData]:
        """Predict for one batch, in memory that large images do not need.

        As by calling the predictor, but `masks` are `BoxMasks` where the
        model has mask heads of mmdet's usual kind.
        """
        batch = pseudo_collate(self._prepare(images))
        with torch.no_grad():
            samples = self.model.test_step(batch)
        return [sample.pred_instances.cpu() for sample in samples]

    def _find_classes(
        self, model: nn.Module, checkpoint: Mapping[str, Any], dataset: Any
    ) -> list[str] | None:
        if not reads_text(model):
            if self._texts is not None:
                raise ValueError(
                    'texts are for models that read the names of what they '
                    'look for, as GLIP and Grounding DINO do; a '
                    f'{type(model).__name__} knows the classes that it was '
                    'trained on'
                )
            return super()._find_classes(model, checkpoint, dataset)
        classes = (
            self._texts
            or configured_classes(dataset)
            or stored_classes(checkpoint)
        )
        if not classes:
            raise ValueError(
                f'a {type(model).__name__} is told what to look for: give '
                'the names, as in --texts "person . traffic light"'
            )
        return list(classes)

    def _prepare(self, images: Sequence[ImageLike]) -> list[dict]:
        prepared = super()._prepare(images)
        if reads_text(self.model):
            for data in prepared:
                data['data_samples'].set_metainfo(
                    {'text': tuple(self.classes), 'custom_entities': True}
                )
        return prepared


def split_texts(texts: str) -> list[str]:
    """Split names separated by dots, as in 'person . traffic light'.

    Raises:
        ValueError: If there is none, or a name is there twice.
    """
    names = [name.strip() for name in texts.split('.') if name.strip()]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f'got the texts {texts!r}: expected one or more different names, '
            'separated by dots, as in "person . traffic light"'
        )
    return names
