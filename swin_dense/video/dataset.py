"""A video data set that is checked before training."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from mmaction.datasets import VideoDataset
from mmengine.dist import broadcast_object_list, get_dist_info
from mmengine.logging import print_log

from swin_dense.data.absent_files import explain_absent
from swin_dense.data.decoders.base import VideoError
from swin_dense.data.image_checks import missing_files
from swin_dense.data.messages import (
    check_class_names,
    check_one_list,
    missing_data_message,
)
from swin_dense.registry import DATASETS
from swin_dense.video.clip_checks import check_videos
from swin_dense.video.clip_lists import (
    Clip,
    class_names,
    duplicate_clips,
    number_labels,
    read_clips,
)
from swin_dense.wording import first_few

QUICK_START = 'video_swin_nano_shapes'
ADVICE = (
    'swin-dense check-videos finds all unreadable clips and writes a list of '
    'the others'
)
# States of a clip.
UNSEEN, READ, BAD = range(3)


@DATASETS.register_module()
class CheckedVideoDataset(VideoDataset):
    """mmaction2's VideoDataset with class names, checked.

    It reads lists, CSV files, folders of classes and folders of frames; see
    `swin_dense.video.clip_lists`. Labels, paths and duplicates are checked at
    construction.

    In training, an unreadable clip is replaced by a random other clip and
    logged with the number of unreadable clips so far. The number is shared by
    all data loading processes. Training stops if their share is above
    `max_bad`. In distributed training each process counts separately: the
    share is relative to the clips that it has loaded, or to its part of the
    list if that is larger.

    In validation and test an unreadable clip is an error. If `max_bad` is
    above 0, all clips are tried at construction, and unreadable clips are
    left out.

    The pipeline should open clips with `swin_dense.VideoInit` and decode them
    with `swin_dense.VideoDecode`, whose errors give the reason.

    Args:
        ann_file: A list or CSV file; '' for a folder per class.
        pipeline: Transforms; see mmaction2's VideoDataset.
        data_prefix: `dict(video=...)`, the folder that paths are relative to,
            or the folder with the folders of the classes.
        num_classes: Number of classes, if they have no names. Their numbers
            are then their names.
        max_bad: Share of clips that may be absent or unreadable; by default
            0.01 in training, otherwise 0.
        multi_class: Not supported.
        delimiter: Separator before the label in a list; by default white
            space.

    Other arguments are those of mmaction2's VideoDataset. `metainfo` may have
    `classes`, a list or the path of a text file with one name per line. If
    it has none, the class names in a CSV file or folders are sorted.

    Raises:
        FileNotFoundError: If the list, the folder or too many clips do not
            exist.
        ValueError: If the list cannot be used for training. The message gives
            the reason, the lines and the remedy.
    """

    def __init__(
        self,
        ann_file: str = '',
        pipeline: Sequence[Any] = (),
        *args: Any,
        max_bad: float | None = None,
        delimiter: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_one_list(ann_file)
        if kwargs.get('multi_class'):
            raise ValueError(
                'CheckedVideoDataset has one class per clip; for '
                'multi_class=True use type="VideoDataset"'
            )
        if max_bad is not None and not 0 <= max_bad <= 1:
            raise ValueError(
                f'max_bad={max_bad} must be a share of the clips, 0 to 1'
            )
        self.max_bad = max_bad
        super().__init__(
            ann_file, list(pipeline), *args, delimiter=delimiter, **kwargs
        )

    @property
    def bad_clips(self) -> list[str]:
        """Clips that could not be read so far, in training."""
        bad = torch.nonzero(self._states == BAD)[:, 0].tolist()
        return [self.get_data_info(index)['filename'] for index in bad]

    @property
    def _limit(self) -> float:
        """Share of clips that may be absent or unreadable."""
        if self.max_bad is None:
            return 0.0 if self.test_mode else 0.01
        return self.max_bad

    @property
    def _source(self) -> str:
        """The list or folder of the clips, for messages."""
        return self.ann_file or self._folder

    @property
    def _folder(self) -> str:
        """Folder that paths are relative to."""
        return self.data_prefix.get('video') or '.'

    def load_data_list(self) -> list[dict]:
        """List and check the clips.

        Returns:
            A dict with `filename` and `label` for each clip.
        """
        clips, classes = self.list_clips()
        labels, problems = number_labels(clips, classes)
        problems += duplicate_clips(clips, labels)
        if problems:
            raise ValueError(
                '\n  '.join(
                    [f'{self._source} cannot be used as it is', *problems[:10]]
                )
            )
        clips, labels = self._leave_out_absent(clips, labels)
        self._log_table(labels)
        return [
            dict(filename=clip.path, label=label)
            for clip, label in zip(clips, labels)
        ]

    def list_clips(self) -> tuple[list[Clip], Sequence[str]]:
        """Return the clips of the list, and the class names in label order.

        Raises:
            FileNotFoundError: If the list or the folder does not exist.
            ValueError: If the list is empty, or the classes are unknown.
        """
        self._check_tree()
        clips = read_clips(self.ann_file, self._folder, self.delimiter)
        if not clips:
            raise ValueError(
                f'{self._source} lists no clips'
                if self.ann_file
                else f'{self._folder} has no folders of clips: expected is '
                'a folder for each class, with its video files'
            )
        return clips, self._name_classes(clips)

    def full_init(self) -> None:
        """List and check the clips, and start counting unreadable ones."""
        if self._fully_initialized:
            return
        super().full_init()
        # In shared memory, so that all data loading processes count together.
        self._states = torch.full(
            (len(self),), UNSEEN, dtype=torch.uint8
        ).share_memory_()
        self._processes = get_dist_info()[1]

    def prepare_data(self, idx: int) -> Any:
        """Load a clip.

        Returns:
            The sample; in training None for an unreadable clip, which
            mmengine then replaces by another one.

        Raises:
            ValueError: If the clip is unreadable in a test, or too many clips
                are unreadable in training.
        """
        try:
            sample = super().prepare_data(idx)
        except VideoError as error:
            if self.test_mode:
                raise ValueError(
                    f'{error}\nA test scores every clip: replace or remove '
                    f'it, or set max_bad=0.01 to leave out 1 %. {ADVICE}'
                ) from None
            self._note_bad(idx, error)
            return None
        if not self.test_mode and not self._states[idx]:
            self._states[idx] = READ
        return sample

    def _check_tree(self) -> None:
        """Check that the list, the folder and the file of names exist.

        Raises:
            FileNotFoundError: If one of them does not exist.
        """
        expected = [
            os.path.join(
                self._folder, '*.mp4' if self.ann_file else 'CLASS/*.mp4'
            )
        ]
        missing = [] if os.path.isdir(self._folder) else [self._folder]
        if self.ann_file:
            expected.insert(0, self.ann_file)
            if not os.path.isfile(self.ann_file):
                missing.insert(0, self.ann_file)
        if missing:
            raise FileNotFoundError(
                missing_data_message(
                    missing[0], self.data_root, expected, QUICK_START, 'clips'
                )
            )
        classes = self._metainfo.get('classes')
        if isinstance(classes, str) and classes.endswith('.txt'):
            raise FileNotFoundError(
                f'classes={classes!r} does not exist: expected is a text '
                'file with one class name per line'
            )

    def _name_classes(self, clips: Sequence[Clip]) -> Sequence[str]:
        """Return the class names of the config, the list, or as numbers.

        Raises:
            ValueError: If there are no names and no `num_classes`, or the two
                contradict each other.
        """
        classes = self._metainfo.get('classes')
        names = class_names(clips)
        if classes is None and names:
            classes = names
        elif classes is None and self.num_classes:
            classes = [str(number) for number in range(self.num_classes)]
        if classes is None:
            raise ValueError(
                f'{self._source} has class numbers without names: name the '
                'classes in label order by '
                "metainfo=dict(classes=['...', ...]) or "
                "classes='names.txt', or set num_classes=N"
            )
        check_class_names(classes, self._source)
        if self.num_classes not in (None, len(classes)):
            raise ValueError(
                f'num_classes={self.num_classes}, but there are '
                f'{len(classes)} classes: {first_few(classes)}'
            )
        self._metainfo['classes'] = tuple(classes)
        return classes

    def _leave_out_absent(
        self, clips: list[Clip], labels: list[int]
    ) -> tuple[list[Clip], list[int]]:
        """Leave out clips that do not exist, and in a test unreadable ones.

        Returns:
            The other clips and their labels.

        Raises:
            FileNotFoundError: If their share is above `max_bad`, or no clip
                is left.
        """
        absent = missing_files(clip.path for clip in clips)
        reasons = {path: f'{path} does not exist' for path in absent}
        if self.test_mode and self._limit:
            present = [c.path for c in clips if c.path not in reasons]
            reasons.update(_try_all(present))
        bad = [clip for clip in clips if clip.path in reasons]
        if not bad:
            return clips, labels
        shown = '\n'.join(
            f'  {clip.place}: {reasons[clip.path]}' for clip in bad[:5]
        )
        message = (
            f'{self._source}: {len(bad)} of {len(clips)} clips '
            f'({len(bad) / len(clips):.2%}) are absent or unreadable\n'
            f'{shown}\n'
        )
        if len(bad) > self._limit * len(clips) or len(bad) == len(clips):
            raise FileNotFoundError(
                f'{message}Allowed is a share of max_bad={self._limit:g}. '
                f'Paths are relative to {self._folder} (data_prefix)'
                f'{explain_absent(absent, self._folder) if absent else ""}. '
                f'{ADVICE}'
            )
        print_log(f'{message}They are left out', 'current')
        kept = [
            (clip, label)
            for clip, label in zip(clips, labels)
            if clip.path not in reasons
        ]
        return [clip for clip, _ in kept], [label for _, label in kept]

    def _log_table(self, labels: Sequence[int]) -> None:
        """Log the number of clips, in all and in the extreme classes.

        Raises:
            ValueError: If all clips of a training set are of one class.
        """
        classes = self._metainfo['classes']
        counts = Counter(labels)
        if len(counts) == 1 < len(classes) and not self.test_mode:
            raise ValueError(
                f'{self._source}: all {len(labels)} clips are of class '
                f'{classes[labels[0]]!r}, of {len(classes)} classes: training '
                'needs at least two classes. Is this the right list?'
            )
        absent = [name for i, name in enumerate(classes) if not counts[i]]
        note = f'; none of {first_few(absent)}' if absent else ''
        print_log(
            f'{self._source}: {len(labels)} clips of {len(counts)} classes, '
            f'{min(counts.values())} to {max(counts.values())} of each{note}',
            'current',
        )

    def _note_bad(self, idx: int, error: VideoError) -> None:
        """Count an unreadable clip.

        Raises:
            ValueError: If the share of unreadable clips is above `max_bad`.
        """
        if self._states[idx] == BAD:
            return
        self._states[idx] = BAD
        count = int((self._states == BAD).sum())
        num_seen = max(
            int((self._states != UNSEEN).sum()), len(self) / self._processes
        )
        print_log(
            f'{error}\nIt is replaced by another clip; {count} of {len(self)} '
            'so far',
            'current',
        )
        if count > self._limit * num_seen:
            names = '\n'.join(f'  {name}' for name in self.bad_clips[:20])
            raise ValueError(
                f'{self._source}: {count} of {num_seen:.0f} clips cannot be '
                f'read, above the share of max_bad={self._limit:g}. The last: '
                f'{error}\nAll:\n{names}\n{ADVICE}'
            )


def _try_all(paths: Sequence[str]) -> dict[str, str]:
    """Return the reason of each unreadable clip, by path.

    The first process tries the clips and sends the result to the others.
    """
    reasons: list[dict[str, str]] = [{}]
    if get_dist_info()[0] == 0:
        reasons = [
            {
                finding.path: finding.problem
                for finding in check_videos(paths)
                if finding.problem
            }
        ]
    broadcast_object_list(reasons)
    return reasons[0]
