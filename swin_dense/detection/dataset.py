"""A COCO data set that is checked before training."""

import logging
import os
from collections.abc import Sequence
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.logging import print_log

from swin_dense.data.absent_files import explain_absent
from swin_dense.data.image_checks import image_problem, missing_files
from swin_dense.data.messages import check_one_list, missing_data_message
from swin_dense.detection import annotation_checks, box_checks
from swin_dense.detection.annotation_fields import check_fields
from swin_dense.detection.mask_checks import check_masks
from swin_dense.detection.stuff_map_checks import (
    check_stuff_maps,
    stuff_map_problem,
)
from swin_dense.registry import DATASETS
from swin_dense.visualization.palette import class_colour
from swin_dense.wording import first_few

# Checking a header takes a fraction of a millisecond. With more images, each
# is checked when it is loaded instead of at the start.
CHECK_AT_START = 20_000
QUICK_START = 'cascade_swin_nano_shapes'
# A warning is logged above this share. COCO 2017 has 1.2 % of crowds.
MANY_CROWDS = 0.1


def _loads(pipeline: Sequence[Any], what: str) -> bool:
    """Return True if a step of a pipeline has a switch such as `with_mask`."""
    return any(
        step.get(what, False)
        if isinstance(step, dict)
        else getattr(step, what, False)
        for step in pipeline
    )


def _without_masks(pipeline: Sequence[Any]) -> list[Any]:
    """Return a pipeline whose steps load no masks."""
    return [
        {**step, 'with_mask': False}
        if isinstance(step, dict) and 'with_mask' in step
        else step
        for step in pipeline
    ]


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's CocoDataset with labels by class name and checked data.

    Differences to mmdet's class:

    - Label i is the i-th name in `metainfo['classes']`. mmdet takes the order
      of the file. Without `metainfo`, the classes are the file's categories.
    - The annotation file and the images are checked at construction, see
      `swin_dense.detection.annotation_checks`, and counts are logged as a
      table.
    - Without a palette, classes have the colours of
      `swin_dense.visualization.class_colour`.
    - Images without annotations are kept unless `filter_cfg` excludes them.

    Args:
        allow_subset: If True, annotations of categories that are not in
            `classes` may be left out. Otherwise they are an error.
        with_mask: If True, every annotation must have a mask. If False, the
            pipeline loads no masks, whatever its steps say. By default taken
            from the pipeline.
        num_stuff_classes: Number of classes, stuff and things together, in
            the label maps in the folder `data_prefix['seg']`. The maps are
            checked if the pipeline loads them. If the folder is None, there
            are no maps.
        pipeline: See mmdet's CocoDataset, also for all other arguments.

    Raises:
        FileNotFoundError: If the annotation file or images do not exist.
        ValueError: If the data cannot be used for training. The message gives
            the reason, the ids and the remedy.
    """

    METAINFO: dict = {}

    def __init__(
        self,
        *args: Any,
        allow_subset: bool = False,
        with_mask: bool | None = None,
        num_stuff_classes: int | None = None,
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        check_one_list(args[0] if args else kwargs.get('ann_file'))
        self.allow_subset = allow_subset
        if with_mask is False:
            pipeline = _without_masks(pipeline)
        self.with_mask = (
            _loads(pipeline, 'with_mask') if with_mask is None else with_mask
        )
        prefixes = {
            key: prefix
            for key, prefix in (kwargs.get('data_prefix') or {}).items()
            if prefix is not None
        }
        if 'data_prefix' in kwargs:
            kwargs['data_prefix'] = prefixes
        self.with_stuff = 'seg' in prefixes and _loads(pipeline, 'with_seg')
        self.num_stuff_classes = num_stuff_classes
        self.check_on_load = False
        self.num_crowds = self.num_ignored = 0
        self.classes_given = bool(
            (kwargs.get('metainfo') or {}).get('classes')
        )
        super().__init__(*args, pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Load and check the annotations, and give them labels by name.

        Returns:
            One dict per image, as in mmdet's CocoDataset.
        """
        if not os.path.isfile(self.ann_file):
            folder = self.data_prefix.get('img', '')
            raise FileNotFoundError(
                missing_data_message(
                    self.ann_file,
                    self.data_root,
                    [self.ann_file, os.path.join(folder, '*.jpg')],
                    QUICK_START,
                )
            )
        data = annotation_checks.load_coco(self.ann_file, not self.test_mode)
        self._say('read from another type', check_fields(data, self.ann_file))
        self._say('repaired', box_checks.fill_in_optional_fields(data))
        annotation_checks.check_ids(data, self.ann_file)
        annotation_checks.check_categories(data, self.ann_file)
        self.cat_ids = annotation_checks.match_classes(
            data,
            self._metainfo.get('classes'),
            self.ann_file,
            self.allow_subset,
        )
        self.categories = {c['name']: c['id'] for c in data['categories']}
        names = {id_: name for name, id_ in self.categories.items()}
        self._metainfo['classes'] = tuple(names[i] for i in self.cat_ids)
        # mmdet's ConcatDataset fails with a KeyError if only other data sets
        # than the first have a palette, as its own CocoDataset does.
        self._metainfo.setdefault(
            'palette',
            [class_colour(label)[::-1] for label in range(len(self.cat_ids))],
        )
        if self.test_mode:
            # The metric reads its ground truth from this file.
            self._metainfo['ann_file'] = self.ann_file
        self.cat2label = {id_: i for i, id_ in enumerate(self.cat_ids)}

        self._count_objects(data)
        self.lost = box_checks.check_boxes(data, self.ann_file)
        if self.with_mask:
            self.lost.update(check_masks(data, self.ann_file))
        self._say('annotations left out', self.lost)
        left_out = {id_ for ids in self.lost.values() for id_ in ids}
        by_image: dict[Any, list] = {
            image['id']: [] for image in data['images']
        }
        for ann in data['annotations']:
            if ann['id'] not in left_out:
                by_image[ann['image_id']].append(ann)
        data_list = [
            self.parse_data_info(
                dict(
                    raw_img_info=dict(image, img_id=image['id']),
                    raw_ann_info=by_image[image['id']],
                )
            )
            for image in data['images']
        ]
        self._check_images(data_list)
        self._log_table(data_list)
        return data_list

    def filter_data(self) -> list[dict]:
        """Drop the images that `filter_cfg` excludes, in training only.

        Returns:
            The entries of the data list that are kept.

        Raises:
            ValueError: If no image, or in training no object, is left.
        """
        rules = {} if self.test_mode else self.filter_cfg or {}
        min_size = rules.get('min_size', 0)
        lost: annotation_checks.UnusableIds = {}
        kept = []
        for info in self.data_list:
            if rules.get('filter_empty_gt') and not info['instances']:
                reason = 'no usable annotation (filter_empty_gt)'
            elif min(info['width'], info['height']) < min_size:
                reason = f'smaller than min_size={min_size}'
            else:
                kept.append(info)
                continue
            lost.setdefault(reason, []).append(info['img_id'])
        self._say('images left out', lost)
        objects = sum(
            not instance['ignore_flag']
            for info in kept
            for instance in info['instances']
        )
        if not kept or not (objects or self.test_mode):
            lost = {f'image: {key}': ids for key, ids in lost.items()}
            lost.update(
                (f'annotation: {key}', ids) for key, ids in self.lost.items()
            )
            raise ValueError(
                f'{self.ann_file}: nothing is left to train on: {len(kept)} '
                f'of {len(self.data_list)} images, {objects} objects of '
                f'classes {list(self.metainfo["classes"])}'
                f'{self._describe_crowds()}. Categories in '
                f'the file: {list(self.categories)}\n'
                + annotation_checks.describe_lost(lost)
            )
        return kept

    def prepare_data(self, idx: int) -> Any:
        """Load an image; check its file first if that was not done before."""
        if self.check_on_load:
            info = self.get_data_info(idx)
            problem = image_problem(
                info['img_path'], info['width'], info['height']
            )
            if problem:
                raise ValueError(
                    f'{info["img_path"]} (image id {info["img_id"]}) {problem}'
                )
            if self.with_stuff:
                problem = stuff_map_problem(info, self.num_stuff_classes)
                if problem:
                    raise ValueError(problem)
        return super().prepare_data(idx)

    def relabel(self, classes: Sequence[str]) -> None:
        """Renumber the labels to another order of the classes."""
        self._metainfo['classes'] = tuple(classes)
        self._fully_initialized = False
        self.full_init()

    def _check_images(self, data_list: list[dict]) -> None:
        """Check that images and label maps exist, with the right sizes.

        Raises:
            FileNotFoundError: If images or label maps do not exist.
            ValueError: If files are damaged or have another size than in the
                annotation file.
        """
        if self.backend_args is not None:
            return  # not on a local disk
        missing = missing_files(info['img_path'] for info in data_list)
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(data_list)} images of '
                f'{self.ann_file} do not exist: {first_few(missing)}. Is '
                f'data_prefix img={self.data_prefix.get("img")!r} their '
                'folder?'
                + explain_absent(missing, self.data_prefix.get('img') or '.')
            )
        self.check_on_load = len(data_list) > CHECK_AT_START
        if self.with_stuff:
            check_stuff_maps(
                data_list,
                self.num_stuff_classes,
                self.ann_file,
                not self.check_on_load,
            )
        if self.check_on_load:
            return
        problems = []
        for info in data_list:
            problem = image_problem(
                info['img_path'], info['width'], info['height']
            )
            if problem:
                problems.append(
                    f'  {info["img_path"]} (image id '
                    f'{info["img_id"]}) {problem}'
                )
        if problems:
            more = (
                f'\n  ... {len(problems) - 10} more'
                if len(problems) > 10
                else ''
            )
            raise ValueError(
                f'{self.ann_file}: {len(problems)} of {len(data_list)} '
                'images cannot be used. Replace these files, or remove '
                'them from the annotation file\n'
                + '\n'.join(problems[:10])
                + more
            )

    def _say(self, what: str, lost: annotation_checks.UnusableIds) -> None:
        """Log counts and ids by reason, if there are any."""
        if lost:
            print_log(
                f'{self.ann_file}: {what}\n'
                f'{annotation_checks.describe_lost(lost)}',
                'current',
            )

    def _count_objects(self, data: dict) -> None:
        """Count crowds and ignored annotations; warn if there are many."""
        ignored = [ann for ann in data['annotations'] if ann.get('ignore')]
        crowds = [ann for ann in data['annotations'] if ann['iscrowd']]
        self.num_ignored, self.num_crowds = len(ignored), len(crowds)
        total = len(data['annotations'])
        if total and max(len(ignored), len(crowds)) > MANY_CROWDS * total:
            print_log(
                f'{self.ann_file}: many of its {total} annotations are not '
                f'trained on{self._describe_crowds()}',
                'current',
                logging.WARNING,
            )

    def _describe_crowds(self) -> str:
        """Return counts of crowds and ignored annotations, with a remedy."""
        text = ''
        if self.num_crowds:
            text += (
                f'; {self.num_crowds} annotations are crowds (iscrowd=1)'
                ', regions that hold several objects and are not trained '
                'on: set iscrowd=0 for single objects, a run-length mask '
                'does not make a crowd'
            )
        if self.num_ignored:
            text += (
                f'; {self.num_ignored} annotations have ignore=1 and are '
                'left out: set ignore=0 to train on them'
            )
        return text

    def _log_table(self, data_list: list[dict]) -> None:
        """Log a table with label, category id, name and count of classes."""
        counts = [0] * len(self.cat_ids)
        for info in data_list:
            for instance in info['instances']:
                counts[instance['bbox_label']] += not instance['ignore_flag']
        empty = sum(not info['instances'] for info in data_list)
        others = [
            f'{count} {what}'
            for count, what in (
                (self.num_crowds, 'crowds (iscrowd=1)'),
                (self.num_ignored, 'ignored (ignore=1)'),
            )
            if count
        ]
        lines = [
            ', '.join(
                [
                    f'{self.ann_file}: {len(data_list)} images ({empty} '
                    f'without objects), {sum(counts)} objects',
                    *others,
                ]
            ),
            '  label  category id  objects  name',
        ]
        for label, (id_, name) in enumerate(
            zip(self.cat_ids, self.metainfo['classes'])
        ):
            lines.append(
                f'  {label:>5}  {id_:>11}  {counts[label]:>7}  {name}'
            )
        print_log('\n'.join(lines), 'current')

    def check_split(self, val: 'CheckedCocoDataset') -> None:
        """Give a validation set the same labels as this training set.

        Labels follow class names, so category ids and their order may differ
        between the two files, which is logged. A validation set without
        classes in its config is renumbered to the order of the training set.

        Raises:
            ValueError: If the class names differ, or have different orders in
                the two configs.
        """
        classes = self.metainfo['classes']
        val_classes = val.metainfo['classes']
        if set(classes) != set(val_classes):
            missing = [name for name in classes if name not in val_classes]
            added = [name for name in val_classes if name not in classes]
            raise ValueError(
                f'{self.ann_file} and {val.ann_file} name different classes: '
                f'only in training {missing}, only in validation {added}. Set '
                'metainfo=dict(classes=[...]) in both to the same names'
            )
        if classes != val_classes:
            if val.classes_given:
                raise ValueError(
                    'classes are in different orders: training '
                    f'{list(classes)}, validation {list(val_classes)}. Label '
                    '0 must mean one class: set metainfo=dict(classes=[...]) '
                    'to the same list in both'
                )
            val.relabel(classes)
        differing = {
            name: (self.categories[name], val.categories[name])
            for name in classes
            if self.categories[name] != val.categories[name]
        }
        in_order = [n for n in self.categories if n in classes] == [
            n for n in val.categories if n in classes
        ]
        if differing or not in_order:
            lines = [
                f'  {label:>5}  {self.categories[name]:>8}  '
                f'{val.categories[name]:>10}  {name}'
                for label, name in enumerate(classes)
            ]
            print_log(
                'category ids or their order differ between '
                f'{self.ann_file} and {val.ann_file}; labels follow names\n'
                '  label  training  validation  name\n' + '\n'.join(lines),
                'current',
            )
