"""Averaging label maps over scales and flips (test-time augmentation)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from torch import Tensor

from swin_dense.registry import MODELS


@MODELS.register_module()
class SegTTAModel(BaseTTAModel):
    """A segmentor whose prediction is the mean over augmented images.

    What is averaged are probabilities, at the size of the file. They are
    summed up one augmentation after the other, so that memory does not grow
    with their number; mmseg's class of this name keeps them all.

    The arguments are those of mmengine's BaseTTAModel.
    """

    def test_step(self, data: dict[str, list[Any]]) -> list:
        """Predict all augmentations of a batch, image by image.

        Args:
            data: For each key of a batch, its value for each augmentation:
                a list of one entry per image.

        Returns:
            A data sample per image; see `merge_preds`.
        """
        images = range(len(data['inputs'][0]))
        return self.merge_preds([self._predict(data, i) for i in images])

    def merge_preds(self, data_samples_list: Sequence[Iterable]) -> list:
        """Average the predictions of each image.

        Args:
            data_samples_list: For each image the data samples of its
                augmentations, which may be predicted one by one when asked
                for.

        Returns:
            The data sample of each image's first augmentation.
            `pred_sem_seg`, (1, H, W), is the class of the highest mean.
            `seg_logits`, (C, H, W), are the logarithms of the means, so that
            their softmax is the means; where there is one channel, the means
            themselves, as mmseg has it.
        """
        return [self._merge(iter(samples)) for samples in data_samples_list]

    def _predict(self, data: dict[str, list[Any]], image: int) -> Iterator:
        """The data samples of an image's augmentations, one at a time."""
        for index in range(len(data['inputs'])):
            yield self.module.test_step(
                {key: [values[index][image]] for key, values in data.items()}
            )[0]

    def _merge(self, samples: Iterator) -> Any:
        merged = next(samples)
        mean, count = _probabilities(merged), 1
        for sample in samples:
            mean += _probabilities(sample)
            count += 1
            del sample  # before the next is predicted
        mean /= count
        if len(mean) > 1:
            label = mean.argmax(0, keepdim=True)
            mean.log_()
        else:
            label = (mean > self.module.decode_head.threshold).to(mean)
        merged.pred_sem_seg = PixelData(data=label)
        merged.seg_logits = PixelData(data=mean)
        return merged


def _probabilities(sample: Any) -> Tensor:
    """Take the logits out of a sample, (C, H, W), as probabilities.

    mmseg has applied the sigmoid to a single channel already.
    """
    logits = sample.seg_logits.data
    del sample.seg_logits
    return logits.softmax(0) if len(logits) > 1 else logits
