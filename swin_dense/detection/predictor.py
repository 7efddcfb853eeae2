"""Predict instances in images from a config and a checkpoint."""

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
    """A trained detector for files or arrays; see `BasePredictor`.

    Args:
        texts: Class names to detect, for a model that reads text (GLIP,
            Grounding DINO); by default the classes of the config's test set,
            or those in the checkpoint.

    Raises:
        ValueError: If `texts` are passed to a model that does not read text,
            or a model that reads text has no class names.
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
            images: Paths, or arrays (H, W, 3) in BGR, uint8.

        Returns:
            The instances of each image, on the CPU, in pixels of the image:
            `bboxes` (N, 4), `labels` (N,), `scores` (N,), and `masks`
            (N, H, W) bool if the model predicts them.

        Raises:
            ValueError: If a file cannot be read as an image.
        """
        predictions = self.predict(images)
        for instances in predictions:
            if isinstance(instances.get('masks'), BoxMasks):
                instances.masks = torch.from_numpy(
                    instances.masks.to_ndarray()
                )
        return predictions

    def predict(self, images: Sequence[ImageLike]) -> list[InstanceData]:
        """Predict for one batch, with masks that need little memory.

        The result is as in `__call__`, but `masks` are `BoxMasks` if the
        model's mask head is an `FCNMaskHead` of mmdet.
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
                f'a {type(model).__name__} needs the names of the objects to '
                'detect: give them, as in --texts "person . traffic light"'
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
    """Split names that are separated by dots, as 'person . traffic light'.

    Raises:
        ValueError: If there are no names, or a name is a duplicate.
    """
    names = [name.strip() for name in texts.split('.') if name.strip()]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f'got the texts {texts!r}: expected one or more different names, '
            'separated by dots, as in "person . traffic light"'
        )
    return names
