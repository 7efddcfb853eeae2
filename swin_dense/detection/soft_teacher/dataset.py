"""A data set of labelled and unlabelled images."""

import os
from typing import Any

from mmdet.datasets import ConcatDataset
from mmengine.dataset import BaseDataset

from swin_dense.registry import DATASETS
from swin_dense.wording import counted, first_few


@DATASETS.register_module()
class SemiSupervisedDataset(ConcatDataset):
    """Labelled images, followed by unlabelled ones.

    mmdet's `GroupMultiSourceSampler` draws from both in a fixed ratio.

    Args:
        labelled: Config of the labelled data set.
        unlabelled: Config of the other, of any data set of images, such as
            `ImageFolderDataset`. Its annotations are not used, if it has any;
            its pipeline begins with `LoadEmptyAnnotations`.
        lazy_init: If true, the data are not read yet.

    Raises:
        ValueError: If images are in both: what the student has learnt by
            heart would become its own pseudo label.
    """

    def __init__(
        self,
        labelled: BaseDataset | dict,
        unlabelled: BaseDataset | dict,
        lazy_init: bool = False,
    ) -> None:
        super().__init__([labelled, unlabelled], lazy_init)
        # Classes are those of the labelled images.
        self._metainfo = self.datasets[0].metainfo

    @property
    def labelled(self) -> BaseDataset:
        """The labelled data set: labels of the other mean nothing."""
        return self.datasets[0]

    def full_init(self) -> None:
        """Read both data sets and compare their images."""
        super().full_init()
        labelled, unlabelled = map(_paths, self.datasets)
        both = sorted(labelled & unlabelled)
        if both:
            raise ValueError(
                f'{counted(len(both), "image")} of {len(labelled)} labelled '
                'ones are among the unlabelled ones, too: '
                f'{first_few(both)}. Take them out of the unlabelled data set'
            )


def _paths(dataset: Any) -> set[str]:
    """Return the absolute paths of the images of a data set."""
    return {
        os.path.abspath(dataset.get_data_info(index)['img_path'])
        for index in range(len(dataset))
    }
