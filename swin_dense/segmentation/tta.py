"""Testing at several scales and flipped (test-time augmentation)."""
from copy import deepcopy
from typing import Any, Dict, Iterable, Iterator, List, Sequence

from mmengine.config import Config, ConfigDict
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from torch import Tensor

from swin_dense.registry import MODELS

__all__ = ['RATIOS', 'SegTTAModel', 'add_tta']

# Those of the tables of Swin V1, appendix A2.3, each also flipped.
RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def add_tta(cfg: Config,
            ratios: Sequence[float] = RATIOS,
            flip: bool = True) -> None:
    """Let a segmentation config test at several scales, in place.

    Each ratio multiplies the scale to which the test pipeline resizes. (The
    pipelines of mmseg's own configs multiply the size of the file instead,
    which is another test.) A pipeline that does not resize is one of scale 1.

    Args:
        cfg: Config of an mmseg model.
        ratios: Factors of the test scale.
        flip: Whether each scale is tested mirrored, too.

    Raises:
        ValueError: If a ratio is not positive, the config is no segmentor's,
            or its test pipeline cannot be multiplied.
    """
    if not ratios or min(ratios) <= 0:
        raise ValueError(
            f'the ratios of test-time augmentation must be positive, such as '
            f'{RATIOS}, got {tuple(ratios)}')
    if 'decode_head' not in cfg.model:
        raise ValueError(
            'test-time augmentation is for semantic segmentation, and this '
            "config's model has no decode_head")
    dataset = cfg.test_dataloader.dataset
    if 'pipeline' not in dataset:
        raise ValueError(
            'test-time augmentation needs the pipeline of the test data at '
            'test_dataloader.dataset.pipeline, and there is none')
    before, scales, after = _split(dataset.pipeline, ratios)
    flips = [dict(type='RandomFlip', prob=0.0, direction='horizontal')]
    if flip:
        flips.append(dict(flips[0], prob=1.0))
    dataset.pipeline = [
        *before,
        dict(
            type='TestTimeAug',
            transforms=[scales, flips, *([step] for step in after)])
    ]
    cfg.model = ConfigDict(type='swin_dense.SegTTAModel', module=cfg.model)


@MODELS.register_module()
class SegTTAModel(BaseTTAModel):
    """A segmentor whose prediction is the mean over augmented images.

    What is averaged are probabilities, at the size of the file. They are
    summed up one augmentation after the other, so that memory does not grow
    with their number; mmseg's class of this name keeps them all.

    The arguments are those of mmengine's BaseTTAModel.
    """

    def test_step(self, data: Dict[str, List[Any]]) -> list:
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

    def _predict(self, data: Dict[str, List[Any]], image: int) -> Iterator:
        """The data samples of an image's augmentations, one at a time."""
        for index in range(len(data['inputs'])):
            yield self.module.test_step({
                key: [values[index][image]]
                for key, values in data.items()
            })[0]

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


def _split(pipeline: Sequence[dict], ratios: Sequence[float]) -> tuple:
    """The steps before resizing, one resizing per ratio, the steps after."""
    kinds = [str(step['type']).rpartition('.')[2] for step in pipeline]
    places = [i for i, kind in enumerate(kinds) if 'Resize' in kind]
    if len(places) > 1 or places and kinds[places[0]] != 'Resize':
        raise ValueError(
            'test-time augmentation multiplies the scale of one Resize step, '
            f'but the test pipeline has {[kinds[i] for i in places]}')
    first = places[0] if places else kinds.index('LoadImageFromFile') + 1
    if 'LoadAnnotations' in kinds[:first]:
        raise ValueError(
            'the test pipeline loads the labels before it resizes, so that '
            'they would be scaled and flipped: move LoadAnnotations behind '
            'Resize')
    step = pipeline[first] if places else dict(
        type='Resize', scale_factor=1.0, keep_ratio=True)
    scales = [_scaled(step, ratio) for ratio in ratios]
    return pipeline[:first], scales, pipeline[first + len(places):]


def _scaled(step: dict, ratio: float) -> dict:
    """A Resize step with its scale multiplied."""
    step = deepcopy(dict(step))
    for key in ('scale', 'scale_factor'):
        value = step.get(key)
        if value is None:
            continue
        whole = key == 'scale'
        scaled = [
            (round(v * ratio) if whole else float(v * ratio))
            for v in (value if isinstance(value, (list,
                                                  tuple)) else [value, value])
        ]
        step[key] = tuple(scaled)
    return step
