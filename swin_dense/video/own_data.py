"""Find classes and clips of a user's folders and lists."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from swin_dense.data.image_checks import missing_files
from swin_dense.engine.config_text import Code
from swin_dense.engine.hold_out import describe_held_out, hold_out
from swin_dense.engine.own_data import (
    OwnData,
    Sources,
    existing,
    split_folder,
)
from swin_dense.video.clip_lists import Clip, class_names, read_clips
from swin_dense.wording import counted, first_few


def describe(sources: Sources, cfg: Config) -> OwnData:
    """Describe folders or lists of clips for the config of a recognizer.

    Args:
        sources: A folder with a folder per class, or one with `train` and
            `val`; or a list, see `swin_dense.video.clip_lists`.
        cfg: The config of the recipe.

    Returns:
        The settings, and what was decided.

    Raises:
        FileNotFoundError: If a source or the clips do not exist.
        ValueError: If a list cannot be read, or has clips without class.
    """
    existing(sources.data)
    data, val = split_folder(sources.data, existing(sources.val))
    clips, list_file, folder = _clips(data, sources.images, '--images')
    notes: list[str] = []
    files: dict[Path, str] = {}
    if val:
        val_clips, val_list, val_folder = _clips(
            val, sources.val_images or sources.images, '--val-images'
        )
    else:
        held = hold_out(
            [clip.name for clip in clips],
            [clip.label for clip in clips],
            sources.val_share,
        )
        val_clips = [clip for clip, is_val in zip(clips, held) if is_val]
        clips = [clip for clip, is_val in zip(clips, held) if not is_val]
        list_file = (sources.folder / 'train.csv').as_posix()
        val_list = (sources.folder / 'val.csv').as_posix()
        val_folder = folder
        files = {Path(list_file): _csv(clips), Path(val_list): _csv(val_clips)}
        notes.append(
            describe_held_out(
                counted(len(val_clips), 'clip'),
                data,
                f'a share of {sources.val_share:g} of each class',
                val_list,
            )
        )
    settings: dict[str, Any] = {
        f'{name}_dataloader': {
            'dataset': {
                'ann_file': ann_file,
                'data_prefix': {'video': place.as_posix()},
                'num_classes': None,
                'metainfo': {'classes': Code('classes')},
            }
        }
        for name, ann_file, place in (
            ('train', list_file, folder),
            ('val', val_list, val_folder),
        )
    }
    settings['test_dataloader'] = Code('val_dataloader')
    return OwnData(
        classes=sources.classes or _classes([*clips, *val_clips], data, notes),
        num_train=len(clips),
        num_val=len(val_clips),
        settings=settings,
        notes=notes,
        files=files,
    )


def _clips(
    source: Path, given: Path | None, option: str
) -> tuple[list[Clip], str, Path]:
    """Return the clips of a source, its list or '', and their folder.

    Raises:
        FileNotFoundError: If none of the clips exists.
        ValueError: If there are no clips.
    """
    if source.is_dir():
        clips = read_clips('', str(source))
        if not clips:
            raise ValueError(
                f'{source} has no folders of clips: expected is a folder for '
                'each class, with its video files'
            )
        return clips, '', source
    near = source.parent
    folders = [given] if given else [near, near / 'videos', near / source.stem]
    for folder in folders:
        clips = read_clips(source.as_posix(), str(folder))
        if not clips:
            raise ValueError(f'{source} lists no clips')
        if len(missing_files(clip.path for clip in clips)) < len(clips):
            return clips, source.as_posix(), folder
    raise FileNotFoundError(
        f'the clips of {source}, such as {clips[0].name}, are not in '
        f'{first_few(folders)}. Name their folder with {option} DIR'
    )


def _classes(
    clips: Sequence[Clip], source: Path, notes: list[str]
) -> tuple[str, ...]:
    """Return the names that occur, or the numbers from 0 to the largest.

    Raises:
        ValueError: If there are no labels.
    """
    names = class_names(clips)
    if names:
        return tuple(names)
    numbers = [clip.label for clip in clips if isinstance(clip.label, int)]
    if not numbers:
        raise ValueError(
            f"{source} has no labels: a line of a list is 'path label'"
        )
    notes.append(
        f'classes: the numbers 0 to {max(numbers)}; --classes gives them names'
    )
    return tuple(map(str, range(max(numbers) + 1)))


def _csv(clips: Sequence[Clip]) -> str:
    """Return a list of clips as CSV, with paths as they were listed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['path', 'label'])
    writer.writerows([clip.name, clip.label] for clip in clips)
    return text.getvalue()
