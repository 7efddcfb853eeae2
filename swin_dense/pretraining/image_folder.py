"""A data set of the images in a folder, without labels."""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from swin_dense.data.decoders.folder import PICTURES
from swin_dense.data.image_checks import image_size
from swin_dense.data.image_files import read_image
from swin_dense.registry import DATASETS
from swin_dense.synthetic.shapes import generate_coco
from swin_dense.wording import counted, first_few

# Files read at the same time while all are checked.
_THREADS = 8
# Files that a message lists.
_LISTED = 50


@DATASETS.register_module()
class ImageFolderDataset(BaseDataset):
    """Images of a folder and its subfolders, in the order of their paths.

    Images that cannot be decoded are counted, listed in the log and left out.
    Headers and last bytes are read when the data set is built; an image whose
    pixels turn out to be damaged later is replaced by the next one.

    An item is what the pipeline makes of `img`, (H, W, 3) uint8 in BGR, and
    `img_path`.

    Args:
        data_root: Folder that `data_prefix` is relative to.
        data_prefix: `dict(img=FOLDER)`, the folder of the images.
        pipeline: Transforms of an item.
        check_files: If false, files are not checked when the data set is
            built, which takes minutes for a million of them.
        max_unreadable: Share of images that may be left out.

    Other arguments are those of mmengine's BaseDataset.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it has no images, or too many of them cannot be
            decoded.
    """

    def __init__(
        self,
        *,
        data_root: str = '',
        data_prefix: dict[str, str] | None = None,
        pipeline: Sequence[Any] = (),
        check_files: bool = True,
        max_unreadable: float = 0.01,
        **kwargs: Any,
    ) -> None:
        if not 0 <= max_unreadable < 1:
            raise ValueError(
                f'max_unreadable={max_unreadable} is no share of images; '
                'expected 0 or more and less than 1'
            )
        self.check_files = check_files
        self.max_unreadable = max_unreadable
        # Reason by path; each process that loads data knows its own.
        self.unreadable: dict[str, str] = {}
        super().__init__(
            data_root=data_root,
            data_prefix=data_prefix or dict(img=''),
            pipeline=list(pipeline),
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images that can be decoded."""
        folder = self.data_prefix['img'] or '.'
        if not os.path.isdir(folder):
            raise FileNotFoundError(
                f'no images: the folder {folder} does not exist (working '
                f'directory {Path.cwd()}). Put or link your images there, or '
                'set data_root'
            )
        paths = list(_images_below(folder))
        if not paths:
            raise ValueError(
                f'no images: {folder} and its subfolders have no file that '
                f'ends in {", ".join(PICTURES)}'
            )
        if self.check_files:
            problems: list[Any] = [None]
            if is_main_process():
                problems = [_find_problems(paths)]
            # All processes have to leave out the same images.
            broadcast_object_list(problems)
            self.unreadable = problems[0]
            self._judge(len(paths))
            if self.unreadable:
                print_log(
                    f'{self._describe(len(paths))}. They are left out',
                    'current',
                    logging.WARNING,
                )
        return [
            dict(img_path=path)
            for path in paths
            if path not in self.unreadable
        ]

    def prepare_data(self, idx: int) -> Any:
        """Load an image and run the pipeline.

        Raises:
            ValueError: If too many images cannot be decoded.
        """
        for _ in range(len(self)):
            info = self.get_data_info(idx)
            try:
                image = read_image(info['img_path'])
            except (ValueError, OSError) as error:
                self._note(info['img_path'], error)
                idx = (idx + 1) % len(self)
                continue
            return self.pipeline({**info, 'img': image})
        raise ValueError(self._describe(len(self)))

    def _note(self, path: str, error: Exception) -> None:
        """Log an image that could not be decoded, once.

        Raises:
            ValueError: If there are too many.
        """
        if path in self.unreadable:
            return
        self.unreadable[path] = str(error).removeprefix(path).strip()
        self._judge(len(self))
        print_log(
            f'{path} {self.unreadable[path]}. The next image replaces it; '
            f'{counted(len(self.unreadable), "image")} so far',
            'current',
            logging.WARNING,
        )

    def _judge(self, total: int) -> None:
        """Raise a ValueError if too many of `total` images are unreadable."""
        count = len(self.unreadable)
        if count > self.max_unreadable * total:
            raise ValueError(
                f'{self._describe(total)}. That is more than the share of '
                f'{self.max_unreadable:g} that may be left out: mend or '
                'remove these files, or raise max_unreadable of the data set'
            )

    def _describe(self, total: int) -> str:
        """Count and list the images that cannot be decoded."""
        lines = [f'{path} {why}' for path, why in self.unreadable.items()]
        return (
            f'{len(lines)} of {counted(total, "image")} in '
            f'{self.data_prefix["img"] or "."} cannot be used: '
            f'{first_few(lines, _LISTED, "; ")}'
        )


@DATASETS.register_module()
class ShapesFolderDataset(ImageFolderDataset):
    """Images of shapes without labels, generated if they do not exist.

    Args:
        data_root: Folder of the data set.
        data_prefix: `dict(img='{split}/')`, the folder of the split. Splits
            of other names have other images.
        generate: `num_images`, and any argument of
            `swin_dense.synthetic.shapes.generate_coco` besides `root` and
            `splits`, such as `image_size`.

    Other arguments are those of ImageFolderDataset.

    Raises:
        ValueError: If an argument in `generate` is out of range.
    """

    def __init__(
        self,
        *,
        data_root: str,
        data_prefix: dict[str, str],
        generate: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        parameters = dict(generate)
        split = Path(data_prefix['img']).name
        generate_coco(
            data_root, {split: parameters.pop('num_images')}, **parameters
        )
        super().__init__(
            data_root=data_root, data_prefix=data_prefix, **kwargs
        )


def _images_below(folder: str) -> Iterator[str]:
    """Yield the images of a folder and its subfolders, sorted by path.

    A folder that links lead to more than once is listed once.
    """
    seen = set()
    for place, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner.sort()
        for name in sorted(names):
            if name.lower().endswith(PICTURES) and name[0] != '.':
                yield os.path.join(place, name)


def _find_problems(paths: Sequence[str]) -> dict[str, str]:
    """Return why images cannot be decoded, by path."""
    with ThreadPoolExecutor(_THREADS) as pool:
        problems = pool.map(_problem, paths, chunksize=64)
        return {p: why for p, why in zip(paths, problems) if why}


def _problem(path: str) -> str | None:
    """Return why an image cannot be decoded, None if it can."""
    try:
        image_size(path)
    except ValueError as error:
        return str(error)
    return None
