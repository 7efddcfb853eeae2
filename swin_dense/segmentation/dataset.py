"""Semantic segmentation data sets that are checked before training."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.logging import print_log
from mmseg.datasets import ADE20KDataset, BaseSegDataset

from swin_dense.data.absent_files import explain_absent
from swin_dense.data.image_checks import missing_files
from swin_dense.data.label_map_scan import LabelMap, scan_label_maps
from swin_dense.data.messages import (
    check_class_names,
    check_one_list,
    missing_data_message,
)
from swin_dense.files import open_regular
from swin_dense.registry import DATASETS
from swin_dense.segmentation.label_map_checks import (
    LabelReport,
    check_label_maps,
)
from swin_dense.visualization.palette import class_colour
from swin_dense.wording import first_few

QUICK_START = 'upernet_swin_nano_shapes'


@DATASETS.register_module()
class CheckedSegDataset(BaseSegDataset):
    """mmseg's BaseSegDataset with checked files and labels.

    At construction, each image must have a label map and each label map an
    image, both readable and of the same size. Each value must be a class or
    ignored; see `swin_dense.segmentation.label_map_checks`. A histogram of
    the values is logged. Without a palette, classes have the colours of
    `swin_dense.visualization.class_colour`.

    Args:
        check_labels: If True, read all label maps. The results for a large
            data set are cached; see `swin_dense.data.label_map_scan`.

    Other arguments are those of mmseg's BaseSegDataset. `metainfo` must have
    `classes`, a list or the path of a text file with one name per line.

    Raises:
        FileNotFoundError: If folders or files do not exist.
        ValueError: If the data cannot be used for training. The message gives
            the reason, the files and the remedy.
    """

    def __init__(
        self, *args: Any, check_labels: bool = True, **kwargs: Any
    ) -> None:
        check_one_list(args[0] if args else kwargs.get('ann_file'))
        self.check_labels = check_labels
        super().__init__(*args, **kwargs)

    @classmethod
    def get_label_map(
        cls, new_classes: Sequence[str] | None = None
    ) -> dict[int, int] | None:
        """Map labels of the data set to those of a subset of its classes.

        Args:
            new_classes: Names of the subset in label order.

        Returns:
            New label by old label; None if nothing changes.

        Raises:
            ValueError: If there are no classes, or the data set lacks one.
        """
        if new_classes is None:
            raise ValueError(
                f'{cls.__name__} needs the names of the classes '
                'in label order: set metainfo=dict(classes=[...])'
            )
        check_class_names(
            new_classes, cls.__name__, cls.METAINFO.get('classes')
        )
        return super().get_label_map(new_classes)

    def _update_palette(self) -> list:
        """Return the palette as (red, green, blue), by default our own."""
        if self._metainfo.get('palette'):
            return super()._update_palette()
        return [
            list(class_colour(label)[::-1])
            for label in range(len(self._metainfo['classes']))
        ]

    def load_data_list(self) -> list[dict]:
        """List and check the files.

        Returns:
            One dict per image, as in mmseg's BaseSegDataset.
        """
        if self.backend_args is not None:
            return super().load_data_list()  # not on a local disk
        self._check_tree()
        data_list = super().load_data_list()
        self._check_files(data_list)
        if self.check_labels and self._label_folder:
            maps = self.scan(data_list)
            report = self.report(maps)
            if report.problems:
                raise ValueError(self._describe(report))
            self._check_crop(maps)
            notes = ''.join(f'\n  {note}' for note in report.notes)
            print_log(
                f'{self._image_folder}: {len(data_list)} images\n'
                f'{report.table(self.metainfo["classes"])}{notes}',
                'current',
            )
        return data_list

    @property
    def _image_folder(self) -> str:
        """Folder of the images."""
        return self.data_prefix.get('img_path') or '.'

    @property
    def _label_folder(self) -> str | None:
        """Folder of the label maps; None if there are none."""
        return self.data_prefix.get('seg_map_path') or None

    @staticmethod
    def scan(data_list: Sequence[dict]) -> list[LabelMap]:
        """Read the label maps of a data list, and the sizes of its images."""
        return scan_label_maps(
            [(info['seg_map_path'], info['img_path']) for info in data_list]
        )

    def report(self, maps: Sequence[LabelMap]) -> LabelReport:
        """Compare label maps with the classes."""
        return check_label_maps(
            maps,
            self.metainfo['classes'],
            ignore_index=self.ignore_index,
            reduce_zero_label=self.reduce_zero_label,
            label_map=self.label_map,
            training=not self.test_mode,
        )

    def _describe(self, report: LabelReport) -> str:
        """Return the problems and the histogram of a report as text."""
        problems = '\n'.join(f'  {line}' for line in report.problems[:10])
        more = (
            f'\n  ... {len(report.problems) - 10} more'
            if len(report.problems) > 10
            else ''
        )
        return (
            f'{self._label_folder}: {report.files} label maps cannot be '
            f'used for training\n{problems}{more}\n'
            f'{report.table(self.metainfo["classes"])}'
        )

    def _check_tree(self) -> None:
        """Check that the folders and the list of files exist.

        Raises:
            FileNotFoundError: If a folder or the list does not exist.
            ValueError: If a training set has no folder of label maps, or
                the image folder has links that mmseg cannot follow.
        """
        if self._label_folder is None and not self.test_mode:
            raise ValueError(
                'a training set needs label maps: set data_prefix='
                "dict(img_path='...', seg_map_path='...')"
            )
        wanted = [(self._image_folder, f'*{self.img_suffix}')]
        if self._label_folder:
            wanted.append((self._label_folder, f'*{self.seg_map_suffix}'))
        expected = [os.path.join(*parts) for parts in wanted]
        missing = [folder for folder, _ in wanted if not os.path.isdir(folder)]
        if self.ann_file:
            expected.insert(0, self.ann_file)
            if not os.path.exists(self.ann_file):
                missing.insert(0, self.ann_file)
        if missing:
            raise FileNotFoundError(
                missing_data_message(
                    missing[0], self.data_root, expected, QUICK_START
                )
            )
        if not os.path.isfile(self.ann_file):  # mmseg will search the folders
            _check_entries(self._image_folder, self.img_suffix)

    def _check_files(self, data_list: Sequence[dict]) -> None:
        """Check that images and label maps come in pairs.

        Raises:
            FileNotFoundError: If there are no images, or a file is missing.
        """
        images = [info['img_path'] for info in data_list]
        if not images:
            raise FileNotFoundError(self._nothing_found())
        problems = []
        missing = missing_files(images)
        if missing:
            problems.append(
                f'{len(missing)} images of {self.ann_file} do not '
                f'exist: {first_few(missing, 3)}'
                + explain_absent(missing, self._image_folder)
            )
        if self._label_folder:
            labels = [info['seg_map_path'] for info in data_list]
            missing = missing_files(labels)
            if missing:
                problems.append(
                    f'{len(missing)} of {len(images)} images have no label '
                    f'map, missing are {first_few(missing, 3)}'
                    + explain_absent(missing, self._label_folder)
                )
            # A list may choose some of the label maps.
            extra = (
                []
                if os.path.isfile(self.ann_file)
                else sorted(
                    {*_files(self._label_folder, self.seg_map_suffix)}
                    - {os.path.normpath(path) for path in labels}
                )
            )
            if extra:
                problems.append(
                    f'{len(extra)} label maps have no image in '
                    f'{self._image_folder}: {first_few(extra, 3)}'
                )
        if problems:
            raise FileNotFoundError(
                '; '.join(problems) + '. An image a/b'
                f'{self.img_suffix} needs the label map a/b'
                f'{self.seg_map_suffix}: add or remove files, or correct '
                'img_suffix and seg_map_suffix'
            )

    def _nothing_found(self) -> str:
        """Return the message for a folder without images."""
        suffixes = Counter(
            os.path.splitext(path)[1] for path in _files(self._image_folder)
        )
        counts = ', '.join(
            f'{count} {suffix or "without suffix"}'
            for suffix, count in suffixes.most_common(5)
        )
        return (
            f'no images in {self._image_folder} end in '
            f'{self.img_suffix!r}; files there: {counts or "none"}. Set '
            'img_suffix, and seg_map_suffix for the label maps'
        )

    def _check_crop(self, maps: Sequence[LabelMap]) -> None:
        """Check that the crop fits into the largest image.

        Smaller images than the crop are common and harmless: they are padded,
        and the padding is ignored.

        Raises:
            ValueError: If the crop is larger than every image.
        """
        size = None
        for step in self.pipeline.transforms:
            name = type(step).__name__
            if 'Resize' in name or name == 'RandomChoice':
                return  # images are resized before, or may be
            if name == 'RandomCrop':
                size = step.crop_size
                break
        if size is None:
            return
        width, height = (
            max(sides)
            for sides in zip(*(label_map.size for label_map in maps))
        )
        if size[0] > height or size[1] > width:
            raise ValueError(
                f'crop_size={tuple(size)} (height, width) is larger than '
                f'every image: images are at most {height} high and {width} '
                'wide. Use a smaller crop_size, also in data_preprocessor, '
                'or resize the images before RandomCrop'
            )


def _check_entries(
    folder: str, suffix: str, above: tuple[str, ...] = ()
) -> None:
    """Check the entries of a folder that are not plain files.

    mmseg follows links to folders even in loops, and skips broken links and
    other special files silently.

    Args:
        folder: The folder to check, with all subfolders.
        suffix: Suffix of images.
        above: Real paths of the folders above.

    Raises:
        ValueError: If there is a loop, or an entry with the suffix cannot be
            opened.
    """
    above = (*above, os.path.realpath(folder))
    with os.scandir(folder) as entries:
        others = [entry for entry in entries if not entry.is_file()]
    for entry in others:
        if not entry.is_dir():
            if entry.name.endswith(suffix):
                open_regular(entry.path).close()  # raises with the reason
        elif entry.is_symlink() and os.path.realpath(entry.path) in above:
            raise ValueError(
                f'{entry.path} is a link to a folder that contains it, a '
                'loop: remove it'
            )
        else:
            _check_entries(entry.path, suffix, above)


def _files(folder: str, suffix: str = '') -> Iterator[str]:
    """Yield the paths of all files below a folder that end in `suffix`."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(suffix):
                yield os.path.normpath(os.path.join(place, name))


@DATASETS.register_module()
class CheckedADE20KDataset(CheckedSegDataset):
    """ADE20K with mmseg's class names and colours, checked.

    `metainfo=dict(classes=[...])` may choose some of the classes; the pixels
    of other classes are ignored.

    Args:
        reduce_zero_label: If True, value 0 of the label maps is ignored and
            value n is label n - 1.

    Other arguments are those of CheckedSegDataset.
    """

    METAINFO = ADE20KDataset.METAINFO

    def __init__(
        self, *args: Any, reduce_zero_label: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(*args, reduce_zero_label=reduce_zero_label, **kwargs)
