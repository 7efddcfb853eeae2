"""COCO metrics that know their labels by name and never pass in silence."""

import contextlib
import io
import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.evaluation import CocoMetric
from mmdet.structures.mask import encode_mask_results
from mmengine.logging import MessageHub, print_log
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from swin_dense.data.messages import first_few
from swin_dense.detection.annotation_checks import (
    check_categories,
    check_ids,
    load_coco,
    match_classes,
)
from swin_dense.detection.annotation_fields import check_fields
from swin_dense.detection.box_checks import (
    check_boxes,
    fill_in_optional_fields,
)
from swin_dense.detection.coco_summary import (
    DEFAULT_ITEMS,
    format_summary,
    item_names,
    summarize,
)
from swin_dense.detection.mask_checks import check_masks
from swin_dense.engine.cli import write_json
from swin_dense.registry import METRICS


@METRICS.register_module()
class CheckedCocoMetric(CocoMetric):
    """Box and mask AP against the file that the data set was read from.

    Differences to mmdet's CocoMetric: labels become category ids by name, so
    neither the order of the file nor of its ids matters, class-wise results
    included; there is one annotation file, that of the data set; scoring
    fewer or other images than the data set has is an error; so is a set
    without a single detection, unless a training is under way. A value that
    does not exist, such as the AP of small objects where there are none, is
    shown as n/a and left out, never -1.

    Args:
        ann_file: May repeat the data set's annotation file; taken from the
            data set if None.
        metric: 'bbox', 'segm' or a list of both.
        empty: What to do without any detection: 'error', or 'zero' (warn,
            and report 0). None means 'zero' for validation during training,
            whose first rounds may find nothing, 'error' otherwise.

    Other arguments are those of mmdet's CocoMetric.
    """

    def __init__(
        self,
        ann_file: str | None = None,
        *args,
        empty: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(None, *args, **kwargs)
        if not self.metrics or {*self.metrics} - {'bbox', 'segm'}:
            raise ValueError(
                f"metric={self.metrics} must be 'bbox', 'segm' or both; for "
                'proposals use mmdet.CocoMetric'
            )
        if empty not in (None, 'error', 'zero'):
            raise ValueError(
                f"empty={empty!r} must be 'error', 'zero' or None"
            )
        if not self.proposal_nums or not all(
            type(limit) is int and limit > 0 for limit in self.proposal_nums
        ):
            raise ValueError(
                f'proposal_nums={self.proposal_nums} must be numbers of '
                'detections that count, such as (100, 300, 1000)'
            )
        known = item_names(self.proposal_nums)
        unknown = {*(self.metric_items or ())} - {*known}
        if unknown:
            raise ValueError(
                f'unknown metric_items {sorted(unknown)}: choose from {known}'
            )
        self.ann_file = ann_file
        self.empty = empty
        self.size = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the detections of a batch, masks as RLE at once.

        Args:
            data_batch: Unused.
            data_samples: One per image, with `img_id` and `pred_instances`.
        """
        for sample in data_samples:
            found = sample['pred_instances']
            result = dict(img_id=sample['img_id'])
            for key in ('bboxes', 'scores', 'labels', 'mask_scores'):
                if key in found:
                    result[key] = found[key].cpu().numpy()
            if 'masks' in found:
                masks = found['masks']
                if isinstance(masks, torch.Tensor):
                    masks = encode_mask_results(masks.cpu().numpy())
                result['masks'] = masks
            self.results.append(result)

    def evaluate(self, size: int) -> dict:
        """Gather the results of all processes and score them.

        Args:
            size: Number of images in the data set.
        """
        self.size = size
        return super().evaluate(size)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score all results.

        Returns:
            Values in 0 to 1 by name, such as `bbox_mAP`.

        Raises:
            ValueError: The images are not those of the data set, nothing was
                detected, or there is nothing to compare with.
        """
        self._number_classes()
        self._check_images(results)
        if 'segm' in self.metrics and any('masks' not in r for r in results):
            raise ValueError(
                "metric 'segm', but the model predicts no masks: "
                "use metric='bbox' or a model with a mask head"
            )
        labels = np.concatenate([result['labels'] for result in results])
        if labels.size and labels.max() >= len(self.cat_ids):
            raise ValueError(
                f'the model predicts label {labels.max()}, but there are '
                f'{len(self.cat_ids)} classes: set num_classes of its heads'
            )
        if self.outfile_prefix:
            files = self.results2json(results, self.outfile_prefix)
            self._say(f'predictions are in {sorted({*files.values()})}')
        if self.format_only:
            return {}
        self._check_truth(self.img_ids)
        if not labels.size:
            return self._nothing_detected(len(results))
        self._note_limit(results)
        values: dict[str, float] = {}
        for metric in self.metrics:
            values.update(self._score(metric, results))
        if not any(values.values()):
            top = max(float(r['scores'].max(initial=0)) for r in results)
            self._say(
                f'all values are 0: {labels.size} detections in '
                f'{len(results)} images, highest score {top:.3f}, but none '
                'matches',
                logging.WARNING,
            )
        return values

    def _path(self) -> str:
        """The annotation file; the metric's and the data set's are one."""
        theirs = (self.dataset_meta or {}).get('ann_file')
        if (
            theirs
            and self.ann_file
            and (os.path.realpath(theirs) != os.path.realpath(self.ann_file))
        ):
            raise ValueError(
                f'the evaluator reads {self.ann_file}, the data set '
                f'{theirs}: leave ann_file out of the evaluator'
            )
        if not (theirs or self.ann_file):
            raise ValueError(
                'no annotation file to compare with: use '
                'swin_dense.CheckedCocoDataset, or give ann_file'
            )
        return theirs or self.ann_file

    def prepare(self) -> None:
        """Read and check what to compare with, before any image is scored.

        Raises:
            ValueError: It cannot be read, or there is nothing to compare
                with; the message says why.
        """
        self._number_classes()
        if not self.format_only:
            self._check_truth(self._coco_api.imgs)

    def _number_classes(self) -> None:
        """Find the category of each label, in the order in use by now."""
        if self._coco_api is None:
            self._load_ground_truth()
        self.cat_ids = match_classes(
            self._coco_api.dataset,
            self.dataset_meta['classes'],
            self._path(),
            allow_subset=True,
        )

    def _load_ground_truth(self) -> None:
        """Read what to compare with, as the data set has read it."""
        path = self._path()
        data = load_coco(path, need_annotations=False)
        check_fields(data, path)
        fill_in_optional_fields(data)
        check_ids(data, path)
        check_categories(data, path)
        check_boxes(data, path)
        self._num_annotations = len(data['annotations'])
        if 'segm' in self.metrics and not self.format_only:
            data['annotations'] = [
                ann for ann in data['annotations'] if ann.get('segmentation')
            ]
            empty = {*check_masks(data, path).get('no mask', ())}
            data['annotations'] = [
                ann for ann in data['annotations'] if ann['id'] not in empty
            ]
            without = self._num_annotations - len(data['annotations'])
            if without:
                self._say(
                    f'{path}: {without} of {self._num_annotations} '
                    'annotations have no mask and do not count',
                    logging.WARNING,
                )
        for number, ann in enumerate(data['annotations'], 1):
            # COCOeval takes an object of id 0 for not found, and an ignored
            # one, which training leaves out, for one to be found.
            ann['id'] = number
            ann['iscrowd'] = int(ann['iscrowd'] or ann.get('ignore', 0))
        self._coco_api = COCO()
        self._coco_api.dataset = data
        with contextlib.redirect_stdout(io.StringIO()):
            self._coco_api.createIndex()

    def _check_truth(self, images: Iterable[Any]) -> None:
        """Raise unless there is an object to find in these images."""
        annotations = self._coco_api.dataset['annotations']
        wanted, images = {*self.cat_ids}, {*images}
        chosen = [
            ann
            for ann in annotations
            if ann['category_id'] in wanted and ann['image_id'] in images
        ]
        crowds = sum(ann['iscrowd'] for ann in chosen)
        if len(chosen) > crowds:
            return
        reason = (
            f'all {crowds} are crowds (iscrowd=1) or ignored: set '
            'iscrowd=0 for single objects'
            if crowds
            else f'of {self._num_annotations} in the file, none is of these '
            f'{len(images)} images and of the classes '
            f'{first_few(self.dataset_meta["classes"])}, with a mask if '
            'masks are scored'
            if self._num_annotations
            else 'it lists none'
        )
        raise ValueError(
            f'{self._path()} has no annotations to compare with: {reason}. '
            'Use a set that has, or format_only=True to write predictions '
            'only'
        )

    def _note_limit(self, results: list[dict]) -> None:
        """Warn of detections that do not count."""
        limit = max(self.proposal_nums)
        above = [
            result['img_id']
            for result in results
            if result['labels'].size > limit
            and np.bincount(result['labels']).max() > limit
        ]
        if above:
            self._say(
                f'{len(above)} images have more than {limit} detections of '
                f'one class, ids {first_few(above)}; the best {limit} count, '
                'as '
                'proposal_nums of the evaluator says',
                logging.WARNING,
            )

    def _check_images(self, results: list[dict]) -> None:
        """Raise unless each image of the data set was scored once."""
        scored = [result['img_id'] for result in results]
        known = self._coco_api.imgs
        strange = [i for i in scored if i not in known]
        if strange:
            raise ValueError(
                f'images were scored that {self._path()} does not have, ids '
                f'{first_few(strange)}; it has {first_few(known)}. Do the '
                'data loader '
                'and the evaluator use one data set?'
            )
        if len(set(scored)) != self.size:
            missing = [i for i in known if i not in set(scored)]
            raise ValueError(
                f'{len(set(scored))} images were scored, the data set has '
                f'{self.size}; not scored are ids {first_few(missing)}. Was '
                'the '
                'run interrupted, or are images skipped by the pipeline?'
            )
        self.img_ids = sorted(scored)

    def _nothing_detected(self, images: int) -> dict[str, float]:
        """Raise, or report zeros while a training has only begun."""
        hub = MessageHub.get_current_instance()
        training = (
            'max_iters' in hub.runtime_info
            and hub.get_info('loop_stage') == 'val'
        )
        message = f'nothing was detected in any of the {images} images'
        if (self.empty or ('zero' if training else 'error')) == 'zero':
            self._say(
                f'{message}; all values are reported as 0', logging.WARNING
            )
            return {
                f'{metric}_{item}': 0.0
                for metric in self.metrics
                for item in self.metric_items or DEFAULT_ITEMS
            }
        raise ValueError(
            f'{message}. Likely causes: the checkpoint is of another model '
            'or was not trained (see the report of what was loaded); the '
            'training diverged or was too short (see its loss); score_thr in '
            'test_cfg is too high; the images are prepared otherwise than in '
            'training (mean, std, channel order)'
        )

    def _predictions(self, metric: str, results: list[dict]) -> list[dict]:
        """Detections as COCO entries, without boxes for masks: COCO would
        take the area of the box for that of the mask."""
        entries = []
        for result in results:
            scores = result['scores']
            if metric == 'segm':
                scores = result.get('mask_scores', scores)
            for i, label in enumerate(result['labels']):
                entry = dict(
                    image_id=result['img_id'],
                    category_id=self.cat_ids[label],
                    score=float(scores[i]),
                )
                if metric == 'segm':
                    entry['segmentation'] = _readable(result['masks'][i])
                else:
                    entry['bbox'] = self.xyxy2xywh(result['bboxes'][i])
                entries.append(entry)
        return entries

    def results2json(
        self, results: list[dict], outfile_prefix: str
    ) -> dict[str, str]:
        """Write result files in the format of COCO's evaluation server.

        Args:
            results: As `process` keeps them.
            outfile_prefix: Of the paths, which end in `.bbox.json` and
                `.segm.json`.

        Returns:
            The path by metric.
        """
        files = {}
        for metric in self.metrics:
            files[metric] = f'{outfile_prefix}.{metric}.json'
            write_json(files[metric], self._predictions(metric, results))
        return files

    def _score(self, metric: str, results: list[dict]) -> dict[str, float]:
        """Values of one metric; those that do not exist are left out."""
        with contextlib.redirect_stdout(io.StringIO()):
            found = self._coco_api.loadRes(self._predictions(metric, results))
            scorer = COCOeval(self._coco_api, found, metric)
            scorer.params.catIds = self.cat_ids
            scorer.params.imgIds = self.img_ids
            scorer.params.maxDets = sorted({*self.proposal_nums})
            scorer.params.iouThrs = np.atleast_1d(self.iou_thrs)
            scorer.evaluate()
            scorer.accumulate()
        summary = summarize(scorer)
        self._say(f'{metric}\n{format_summary(scorer, summary)}')
        values = {
            f'{metric}_{item}': summary[item]
            for item in self.metric_items or DEFAULT_ITEMS
        }
        if self.classwise:
            values.update(self._by_class(metric, scorer))
        return {
            name: round(value, 4)
            for name, value in values.items()
            if value >= 0
        }

    def _by_class(self, metric: str, scorer: COCOeval) -> dict[str, float]:
        """AP of each class; -1 where the set has no such object."""
        # COCOeval sorts the ids that it is given.
        order = list(scorer.params.catIds)
        lines, values = [], {}
        for name, id_ in zip(self.dataset_meta['classes'], self.cat_ids):
            precision = scorer.eval['precision'][:, :, order.index(id_), 0, -1]
            precision = precision[precision > -1]
            ap = float(precision.mean()) if precision.size else -1
            lines.append(
                f'  {ap:.3f}  {name}' if ap >= 0 else f'  {"n/a":>5}  {name}'
            )
            values[f'{metric}_AP_{name}'] = ap
        self._say(f'{metric} AP by class\n' + '\n'.join(lines))
        return values

    @staticmethod
    def _say(message: str, level: int = logging.INFO) -> None:
        print_log(message, 'current', level)


def _readable(rle: dict) -> dict:
    """A run-length encoding as JSON holds it, its counts a string."""
    counts = rle['counts']
    return dict(
        rle, counts=counts.decode() if isinstance(counts, bytes) else counts
    )
