"""COCO metrics with labels by class name, which refuse empty evaluations."""

import contextlib
import io
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.evaluation import CocoMetric
from mmdet.structures.mask import encode_mask_results
from mmengine.logging import MessageHub, MMLogger
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

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
from swin_dense.detection.class_report import (
    class_table,
    confusion,
    precision_recall,
)
from swin_dense.detection.coco_summary import (
    DEFAULT_ITEMS,
    format_summary,
    item_names,
    summarize,
)
from swin_dense.detection.mask_checks import check_masks
from swin_dense.engine.cli import write_image, write_json
from swin_dense.engine.finite_scores import check_scores
from swin_dense.engine.run_log import TO_FILE
from swin_dense.registry import METRICS
from swin_dense.visualization.palette import Colour, colours, palette_of
from swin_dense.wording import first_few


@METRICS.register_module()
class CheckedCocoMetric(CocoMetric):
    """Box and mask AP, computed from the annotation file of the data set.

    Differences to mmdet's CocoMetric:

    - Labels become category ids by class name. The order of the categories
      and ids in the file does not matter, for class-wise results neither.
    - The annotation file is that of the data set.
    - Scoring fewer or other images than the data set has is an error.
    - An evaluation without any detection is an error, except in the
      validation during training.
    - A value that does not exist, such as the AP of small objects in a data
      set without them, is shown as n/a and left out instead of reported as
      -1.

    Args:
        ann_file: The data set's annotation file; None takes it from the data
            set.
        metric: 'bbox', 'segm' or a list of both.
        empty: What to do if nothing is detected: 'error', or 'zero' (log a
            warning and report 0). None means 'zero' for validation during
            training, which may detect nothing at first, and 'error'
            otherwise.

    Other arguments are those of mmdet's CocoMetric.

    Raises:
        ValueError: If an argument is invalid.
    """

    def __init__(
        self,
        ann_file: str | None = None,
        *args: Any,
        empty: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(None, *args, **kwargs)
        if not self.metrics or {*self.metrics} - {'bbox', 'segm'}:
            raise ValueError(
                f"metric={self.metrics} must be 'bbox', 'segm' or both; to "
                'score proposals use mmdet.CocoMetric'
            )
        if empty not in (None, 'error', 'zero'):
            raise ValueError(
                f"empty={empty!r} must be 'error', 'zero' or None"
            )
        if not self.proposal_nums or not all(
            type(limit) is int and limit > 0 for limit in self.proposal_nums
        ):
            raise ValueError(
                f'proposal_nums={self.proposal_nums} must be positive numbers '
                'of detections per image, such as (100, 300, 1000)'
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
        self.scorers: dict[str, COCOeval] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the detections of a batch, with masks as RLE.

        Args:
            data_batch: Unused.
            data_samples: One dict per image, with `img_id` and
                `pred_instances`.

        Raises:
            ValueError: If boxes or scores are NaN or infinite.
        """
        for sample in data_samples:
            instances = sample['pred_instances']
            result = dict(img_id=sample['img_id'])
            for key in ('bboxes', 'scores', 'labels', 'mask_scores'):
                if key in instances:
                    result[key] = instances[key].cpu().numpy()
                    check_scores(result[key], key, f'image {result["img_id"]}')
            if 'masks' in instances:
                masks = instances['masks']
                if isinstance(masks, torch.Tensor):
                    masks = encode_mask_results(masks.cpu().numpy())
                result['masks'] = masks
            self.results.append(result)

    @property
    def value_names(self) -> list[str]:
        """Names of the values that `compute_metrics` may return."""
        return [
            f'{metric}_{item}'
            for metric in self.metrics
            for item in self.metric_items or DEFAULT_ITEMS
        ]

    def evaluate(self, size: int) -> dict:
        """Gather the results of all processes and score them.

        Args:
            size: Number of images in the data set.

        Returns:
            Values by name; see `compute_metrics`.
        """
        self.size = size
        return super().evaluate(size)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score all results.

        Args:
            results: Results of all images, as stored by `process`.

        Returns:
            Values in 0 to 1 by name, such as `bbox_mAP`; empty with
            `format_only`.

        Raises:
            ValueError: If the images are not those of the data set, nothing
                was detected, or there are no objects in the ground truth.
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
        self.scorers = {}
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
        """Return the annotation file of the data set, or of the metric.

        Raises:
            ValueError: If the two differ, or there is none.
        """
        dataset_file = (self.dataset_meta or {}).get('ann_file')
        if (
            dataset_file
            and self.ann_file
            and (
                os.path.realpath(dataset_file)
                != os.path.realpath(self.ann_file)
            )
        ):
            raise ValueError(
                f'the evaluator reads {self.ann_file}, the data set '
                f'{dataset_file}: leave ann_file out of the evaluator'
            )
        path = dataset_file or self.ann_file
        if not path:
            raise ValueError(
                'no annotation file to compare with: use '
                'swin_dense.CheckedCocoDataset, or give ann_file'
            )
        return path

    def prepare(self) -> None:
        """Load and check the ground truth before any image is scored.

        Raises:
            ValueError: If the annotation file cannot be used, or has no
                objects.
        """
        self._number_classes()
        if not self.format_only:
            self._check_truth(self._coco_api.imgs)

    def _number_classes(self) -> None:
        """Find the category id of each label, in the current class order."""
        if self._coco_api is None:
            self._load_ground_truth()
        self.cat_ids = match_classes(
            self._coco_api.dataset,
            self.dataset_meta['classes'],
            self._path(),
            allow_subset=True,
        )

    def _load_ground_truth(self) -> None:
        """Load the ground truth, with the checks of the data set."""
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
            # COCOeval treats an object with id 0 as not detected. It would
            # count ignored objects, which training leaves out.
            ann['id_in_file'], ann['id'] = ann['id'], number
            ann['iscrowd'] = int(ann['iscrowd'] or ann.get('ignore', 0))
        self._coco_api = COCO()
        self._coco_api.dataset = data
        with contextlib.redirect_stdout(io.StringIO()):
            self._coco_api.createIndex()

    def _check_truth(self, images: Iterable[Any]) -> None:
        """Raise a ValueError if these images have no objects to detect."""
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
        """Log a warning if images have more detections than are counted."""
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
                f'one class, ids {first_few(above)}; the best {limit} count '
                '(proposal_nums of the evaluator)',
                logging.WARNING,
            )

    def _check_images(self, results: list[dict]) -> None:
        """Raise a ValueError unless each image of the data set was scored."""
        scored = [result['img_id'] for result in results]
        known = self._coco_api.imgs
        strange = [i for i in scored if i not in known]
        if strange:
            raise ValueError(
                f'images were scored that {self._path()} does not have, ids '
                f'{first_few(strange)}; it has {first_few(known)}. Do the '
                'data loader and the evaluator use one data set?'
            )
        if len(set(scored)) != self.size:
            missing = [i for i in known if i not in set(scored)]
            raise ValueError(
                f'{len(set(scored))} images were scored, the data set has '
                f'{self.size}; not scored are ids {first_few(missing)}. Was '
                'the run interrupted, or are images skipped by the pipeline?'
            )
        self.img_ids = sorted(scored)

    def _nothing_detected(self, images: int) -> dict[str, float]:
        """Raise a ValueError, or report zeros; see `empty`."""
        message = f'nothing was detected in any of the {images} images'
        kind = 'zero' if _is_training() else 'error'
        if (self.empty or kind) == 'zero':
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
            'test_cfg is too high; the images are prepared in another way '
            'than in training (mean, std, channel order)'
        )

    def _predictions(self, metric: str, results: list[dict]) -> list[dict]:
        """Return detections as entries of a COCO result file.

        Entries of 'segm' have no boxes, since pycocotools would take the area
        of the box for that of the mask.
        """
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
            results: Results of all images, as stored by `process`.
            outfile_prefix: Prefix of the paths, to which `.bbox.json` and
                `.segm.json` are appended.

        Returns:
            The path of the file of each metric.
        """
        files = {}
        for metric in self.metrics:
            files[metric] = f'{outfile_prefix}.{metric}.json'
            write_json(files[metric], self._predictions(metric, results))
        return files

    def _score(self, metric: str, results: list[dict]) -> dict[str, float]:
        """Return the existing values of a metric by name."""
        with contextlib.redirect_stdout(io.StringIO()):
            detections = self._coco_api.loadRes(
                self._predictions(metric, results)
            )
            scorer = COCOeval(self._coco_api, detections, metric)
            scorer.params.catIds = self.cat_ids
            scorer.params.imgIds = self.img_ids
            scorer.params.maxDets = sorted({*self.proposal_nums})
            scorer.params.iouThrs = np.atleast_1d(self.iou_thrs)
            scorer.evaluate()
            scorer.accumulate()
        summary = summarize(scorer)
        # A training has a table of fewer values on its console.
        self._say(
            f'{metric}\n{format_summary(scorer, summary)}',
            extra=TO_FILE if _is_training() else None,
        )
        if not _is_training():
            self.scorers[metric] = scorer
            table = class_table(scorer, self._names(scorer))
            self._say(f'{metric} by class\n{table}')
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
        """Return the AP of each class; -1 if there is no such object."""
        # COCOeval sorts the category ids.
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

    def _names(self, scorer: COCOeval) -> list[str]:
        """Return the class names in the order of the scorer's categories."""
        return self._in_order(scorer, self.dataset_meta['classes'])

    def _colours(self, scorer: COCOeval) -> list[Colour]:
        """Return the colours of the classes, as pictures of images have."""
        table = colours(len(self.cat_ids), palette_of(self.dataset_meta))
        return self._in_order(scorer, table)

    def _in_order(self, scorer: COCOeval, values: Sequence[Any]) -> list[Any]:
        """Return values of the labels in the order of its categories."""
        by_category = dict(zip(self.cat_ids, values))
        return [by_category[category] for category in scorer.params.catIds]

    def write_pictures(self, folder: Path) -> list[Path]:
        """Write curves and confusion matrices of the last test.

        Args:
            folder: Folder for `bbox_pr.png`, `bbox_confusion.png` and, if
                masks are scored, the same for `segm`.

        Returns:
            Paths of the pictures; none if nothing was scored.
        """
        paths = []
        for metric, scorer in self.scorers.items():
            names, tints = self._names(scorer), self._colours(scorer)
            for name, picture in (
                ('pr', precision_recall(scorer, names, tints)),
                ('confusion', confusion(scorer, names)),
            ):
                paths.append(folder / f'{metric}_{name}.png')
                write_image(paths[-1], picture)
        return paths

    @staticmethod
    def _say(
        message: str,
        level: int = logging.INFO,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Log a message."""
        MMLogger.get_current_instance().log(level, message, extra=extra)


def _is_training() -> bool:
    """Return True during the validation of a training."""
    hub = MessageHub.get_current_instance()
    return (
        'max_iters' in hub.runtime_info and hub.get_info('loop_stage') == 'val'
    )


def _readable(rle: dict) -> dict:
    """Return an RLE whose counts are text, as JSON needs."""
    counts = rle['counts']
    return dict(
        rle, counts=counts.decode() if isinstance(counts, bytes) else counts
    )
