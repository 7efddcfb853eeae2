"""Semantic segmentation data that is checked before it trains anything."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence

from mmengine.logging import print_log
from mmseg.datasets import ADE20KDataset, BaseSegDataset

from swin_dense.data.absent_files import explain_absent
from swin_dense.data.image_checks import missing_files
from swin_dense.data.label_map_scan import LabelMap, scan_label_maps
from swin_dense.data.messages import (
    check_class_names,
    check_one_list,
    first_few,
    missing_data_message,
)
from swin_dense.files import open_regular
from swin_dense.registry import DATASETS
from swin_dense.segmentation.label_map_checks import (
    LabelReport,
    check_label_maps,
)
from swin_dense.visualization.palette import class_colour

QUICK_START = 'upernet_swin_nano_shapes'


@DATASETS.register_module()
class CheckedSegDataset(BaseSegDataset):
    """mmseg's BaseSegDataset whose files and labels are checked.

    Differences: at construction, images and label maps must come in pairs,
    be readable and of one size, and hold no value that is neither a class nor
    ignored, see `swin_dense.segmentation.label_map_checks`; what they hold is
    logged as a table. Classes without a palette have the colours of this
    package's pictures.

    Args:
        check_labels: Whether to read the label maps. Those of a large set are
            read once, see `swin_dense.data.label_map_scan`.

    Other arguments are those of mmseg's BaseSegDataset. `metainfo` must have
    `classes`, a list or the path of a text file with one name a line.

    Raises:
        FileNotFoundError: Folders or files are absent.
        ValueError: The data cannot be trained on; the message says why, where
            and what to do.
    """

    def __init__(self, *args, check_labels: bool = True, **kwargs) -> None:
        check_one_list(args[0] if args else kwargs.get('ann_file'))
        self.check_labels = check_labels
        super().__init__(*args, **kwargs)

    @classmethod
    def get_label_map(
        cls, new_classes: Sequence[str] | None = None
    ) -> dict[int, int] | None:
        """Label of each class of the data set among those that are wanted.

        Raises:
            ValueError: There are no classes, or not these.
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
        """Colours as (red, green, blue), of this package unless given."""
        if self._metainfo.get('palette'):
            return super()._update_palette()
        return [
            list(class_colour(label)[::-1])
            for label in range(len(self._metainfo['classes']))
        ]

    def load_data_list(self) -> list[dict]:
        """List and check the files.

        Returns:
            One dict per image, as mmseg's BaseSegDataset makes them.
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
        return self.data_prefix.get('img_path') or '.'

    @property
    def _label_folder(self) -> str | None:
        """Where the label maps are; None for images without."""
        return self.data_prefix.get('seg_map_path') or None

    @staticmethod
    def scan(data_list: Sequence[dict]) -> list[LabelMap]:
        """What the label maps hold, and the sizes of their images."""
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
        """The problems of a report, and the histogram."""
        problems = '\n'.join(f'  {line}' for line in report.problems[:10])
        more = (
            f'\n  ... {len(report.problems) - 10} more'
            if len(report.problems) > 10
            else ''
        )
        return (
            f'{self._label_folder}: {report.files} label maps cannot be '
            f'trained on as they are\n{problems}{more}\n'
            f'{report.table(self.metainfo["classes"])}'
        )

    def _check_tree(self) -> None:
        """Raise if folders or the list of files are absent."""
        if self._label_folder is None and not self.test_mode:
            raise ValueError(
                'a data set to train on needs label maps: set data_prefix='
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
        if not os.path.isfile(self.ann_file):  # folders will be searched
            _check_entries(self._image_folder, self.img_suffix)

    def _check_files(self, data_list: Sequence[dict]) -> None:
        """Raise unless images and label maps come in pairs."""
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
                    f'map, not found are {first_few(missing, 3)}'
                    + explain_absent(missing, self._label_folder)
                )
            # A list may choose from what is there.
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
        """What to say about a folder without images."""
        endings = Counter(
            os.path.splitext(path)[1] for path in _files(self._image_folder)
        )
        there = ', '.join(
            f'{count} {ending or "without ending"}'
            for ending, count in endings.most_common(5)
        )
        return (
            f'no images in {self._image_folder} end in '
            f'{self.img_suffix!r}; files there: {there or "none"}. Set '
            'img_suffix, and seg_map_suffix for the label maps'
        )

    def _check_crop(self, maps: Sequence[LabelMap]) -> None:
        """Raise if each crop would reach beyond its image.

        A crop beyond some images is common and harmless: what is missing is
        padded and ignored.
        """
        size = None
        for step in self.pipeline.transforms:
            name = type(step).__name__
            if 'Resize' in name or name == 'RandomChoice':
                return  # images are made to fit first, or may be
            if name == 'RandomCrop':
                size = step.crop_size
                break
        if size is None:
            return
        width, height = (
            max(sides) for sides in zip(*(one.size for one in maps))
        )
        if size[0] > height or size[1] > width:
            raise ValueError(
                f'crop_size={tuple(size)} (height, width) is larger than '
                f'every image: they are at most {height} high and {width} '
                'wide. Use a smaller crop_size, also in data_preprocessor, '
                'or resize the images before RandomCrop'
            )


def _check_entries(
    folder: str, suffix: str, above: tuple[str, ...] = ()
) -> None:
    """Raise if mmseg would list a folder's files endlessly, or leave some out.

    mmseg follows links, in loops too, and passes over what is no file.
    """
    above = (*above, os.path.realpath(folder))
    with os.scandir(folder) as entries:
        others = [entry for entry in entries if not entry.is_file()]
    for entry in others:
        if not entry.is_dir():
            if entry.name.endswith(suffix):
                open_regular(entry.path).close()  # raises, and says why
        elif entry.is_symlink() and os.path.realpath(entry.path) in above:
            raise ValueError(
                f'{entry.path} is a link to a folder that it is '
                'in, a loop: remove it'
            )
        else:
            _check_entries(entry.path, suffix, above)


def _files(folder: str, suffix: str = '') -> Iterator[str]:
    """Paths of all files below a folder that end in `suffix`."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(suffix):
                yield os.path.normpath(os.path.join(place, name))


@DATASETS.register_module()
class CheckedADE20KDataset(CheckedSegDataset):
    """ADE20K, checked: mmseg's names, colours and zero label.

    `metainfo=dict(classes=[...])` may choose some of the classes; the pixels of
    others are ignored.
    """

    METAINFO = ADE20KDataset.METAINFO

    def __init__(
        self, *args, reduce_zero_label: bool = True, **kwargs
    ) -> None:
        super().__init__(*args, reduce_zero_label=reduce_zero_label, **kwargs)
