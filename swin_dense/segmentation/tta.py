"""Average predictions over scales and flips (test-time augmentation)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from torch import Tensor

from swin_dense.registry import MODELS


@MODELS.register_module()
class SegTTAModel(BaseTTAModel):
    """A segmentor whose prediction is the mean over augmented images.

    The mean is taken over probabilities at the size of the file. They are
    summed one augmentation after the other, so memory does not grow with the
    number of augmentations; mmseg's class of this name keeps all of them.

    Arguments are those of mmengine's BaseTTAModel.
    """

    def test_step(self, data: dict[str, list[Any]]) -> list:
        """Predict all augmentations of a batch, image by image.

        Args:
            data: For each key of a batch a list of augmentations, each a list
                with one entry per image.

        Returns:
            A data sample per image; see `merge_preds`.
        """
        images = range(len(data['inputs'][0]))
        return self.merge_preds([self._predict(data, i) for i in images])

    def merge_preds(self, data_samples_list: Sequence[Iterable]) -> list:
        """Average the predictions of each image.

        Args:
            data_samples_list: The data samples of each image's augmentations;
                iterators are consumed one by one.

        Returns:
            The data sample of each image's first augmentation.
            `pred_sem_seg` (1, H, W) is the class with the highest mean.
            `seg_logits` (C, H, W) are the logarithms of the means, whose
            softmax gives the means. With a single channel they are the means
            themselves, as in mmseg.
        """
        return [self._merge(iter(samples)) for samples in data_samples_list]

    def _predict(self, data: dict[str, list[Any]], image: int) -> Iterator:
        """Yield the data samples of an image's augmentations."""
        for index in range(len(data['inputs'])):
            yield self.module.test_step(
                {key: [values[index][image]] for key, values in data.items()}
            )[0]

    def _merge(self, samples: Iterator) -> Any:
        """Average the predictions of an image into its first data sample."""
        merged = next(samples)
        mean, count = _probabilities(merged), 1
        for sample in samples:
            mean += _probabilities(sample)
            count += 1
            del sample  # free it before the next is predicted
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
    """Remove the logits from a sample; return probabilities (C, H, W).

    A single channel has passed the sigmoid in mmseg already.
    """
    logits = sample.seg_logits.data
    del sample.seg_logits
    return logits.softmax(0) if len(logits) > 1 else logits
