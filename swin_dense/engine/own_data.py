"""Write the config of a recipe for a user's own data.

`swin-dense train RECIPE --data ...` needs no config: this module writes it
into the work folder. It is short, inherits from the recipe, and is meant to
be read, changed and used again.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from os.path import relpath
from pathlib import Path
from textwrap import fill, indent
from typing import Any

from mmengine.config import Config

from swin_dense.config_files import PREFIX, config_folder
from swin_dense.engine.config_text import Code, assignments
from swin_dense.engine.launch import config_path, load_config
from swin_dense.engine.new_folder import NewFolder
from swin_dense.engine.schedule import fit_schedule
from swin_dense.engine.tasks import task_of
from swin_dense.files import replacing
from swin_dense.wording import counted

# Share of the data that is held out for validation if there is no other.
VAL_SHARE = 0.1
# Usual names of the folders of training and validation.
TRAIN = ('train', 'training')
VAL = ('val', 'validation', 'valid')
# Heads with an output for each class.
HEADS = ('bbox_head', 'mask_head', 'decode_head', 'auxiliary_head', 'cls_head')


@dataclass(frozen=True)
class Sources:
    """Where a user's data are.

    Attributes:
        data: Training data: a COCO file, a folder of label maps, a folder or
            a list of clips.
        val: Validation data of the same kind; None to hold out a share.
        images: Folder of the images of `data`, or of the clips of a list;
            None to look for it.
        val_images: The same for `val`.
        classes: Class names in label order; None to take those of the data.
        val_share: Share of `data` that is held out if `val` is None.
        uses_masks: If False, train boxes even if there are masks.
        folder: Folder for the files of a held-out share.
    """

    data: Path
    val: Path | None = None
    images: Path | None = None
    val_images: Path | None = None
    classes: tuple[str, ...] | None = None
    val_share: float = VAL_SHARE
    uses_masks: bool = True
    folder: Path = Path()


@dataclass
class OwnData:
    """What a task has found in a user's data.

    Attributes:
        classes: Class names in label order.
        num_train: Number of images or clips to train on.
        num_val: Number of images or clips to validate with.
        settings: Settings of the config that describe the data.
        model: Settings of the model that follow from the data, besides the
            number of classes.
        notes: Sentences on what was decided.
        files: Contents of files to be written beside the config, by path.
    """

    classes: tuple[str, ...]
    num_train: int
    num_val: int
    settings: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """A config that has been written.

    Attributes:
        path: The file.
        notes: Sentences on what was decided.
        folder: The work folder that it is in.
    """

    path: Path
    notes: list[str]
    folder: NewFolder


def write_own_config(
    recipe: str,
    sources: Sources,
    *,
    work_dir: str | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    num_processes: int = 1,
    command: Sequence[str] = (),
) -> Written:
    """Write the config of a recipe for own data into the work folder.

    The work folder is `work_dirs/<recipe>`, or the next free one of
    `work_dirs/<recipe>_2` and so on if that has another config. So a config
    is never replaced, and the same command finds its folder again.

    Args:
        recipe: Name of a recipe, or a config file.
        sources: The data.
        work_dir: Another work folder.
        batch_size: Images or clips of a process; by default the recipe's.
        epochs: Passes over the data; by default those that `fit_schedule`
            chooses.
        num_processes: Number of processes of the run.
        command: Words of the command line, for the first line of the config.

    Returns:
        The config file, and what was decided.

    Raises:
        FileNotFoundError: If data do not exist.
        ValueError: If the recipe is for another kind of data, or the data
            cannot be used; or if the work folder has another config.
    """
    path = config_path(recipe)
    cfg = load_config(path)
    task = task_of(cfg)
    _check_recipe(cfg, recipe)
    name = Path(recipe).stem
    describe = task.load('own_data')
    for folder in _folders(work_dir, name):
        target = folder / f'{folder.name}.py'
        found = describe(replace(sources, folder=folder), cfg)
        batch = min(
            batch_size or cfg.train_dataloader.get('batch_size', 1),
            found.num_train,
        )
        schedule, note = fit_schedule(
            cfg,
            found.num_train,
            batch_size=batch,
            num_processes=num_processes,
            epochs=epochs,
        )
        text = _text(path, cfg, target, found, batch, schedule, note, command)
        if not target.exists() or _body(target.read_text('utf-8')) == _body(
            text
        ):
            break
        if work_dir:
            raise ValueError(
                f'{target} exists and is another config: train it with '
                f'`swin-dense train {target}`, or choose another --work-dir'
            )
    new_folder = NewFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = dict(found.files)
    if not target.exists():
        contents[target] = text
    for file, content in contents.items():
        with replacing(file) as partial:
            partial.write_text(content, 'utf-8')
    unit = task.unit
    counts = (
        f'{counted(found.num_train, unit.removesuffix("s"))} to train on, '
        f'{found.num_val} to validate with, '
        f'{counted(len(found.classes), "class", "classes")}'
    )
    notes = [
        f'data: {counts}',
        *found.notes,
        f'schedule: {note}',
        f'config: {target}',
    ]
    return Written(target, notes, new_folder)


def _check_recipe(cfg: Config, recipe: str) -> None:
    """Check that a recipe has data sets that can be replaced.

    Raises:
        ValueError: If it has no training set, or one that is generated or
            combined of several.
    """
    dataset: Any = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    if 'generate' in dataset:
        raise ValueError(
            f'{recipe} generates its own data; leave the data set out of the '
            'name, as in mask_rcnn_swin_nano --data'
        )
    kind = dataset.get('type', 'missing')
    if 'Checked' not in str(kind):
        raise ValueError(
            f'the training set of {recipe} is {kind}: --data needs a recipe '
            'with one data set of this package, such as mask_rcnn_swin_t'
        )


def _folders(work_dir: str | None, name: str) -> Iterator[Path]:
    """Yield the work folder, or the numbered ones to choose from."""
    if work_dir:
        yield Path(work_dir)
        return
    yield Path('work_dirs', name)
    for number in count(2):
        yield Path('work_dirs', f'{name}_{number}')


def existing(path: Path | None) -> Path | None:
    """Return a path that exists, or None.

    Raises:
        FileNotFoundError: If the path does not exist.
    """
    if path is not None and not path.exists():
        raise FileNotFoundError(f'{path} does not exist')
    return path


def split_folder(data: Path, val: Path | None) -> tuple[Path, Path | None]:
    """Return the sources of training and validation.

    Args:
        data: A folder; if it has folders such as `train` and `val`, these
            are meant.
        val: The source of validation, if there is another one.
    """
    train = child_folder(data, TRAIN)
    if train is None:
        return data, val
    return train, val or child_folder(data, VAL)


def child_folder(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the first of several folders in a folder, None without."""
    paths = (folder / name for name in names)
    return next((path for path in paths if path.is_dir()), None)


def size_heads(model: Mapping[str, Any], num_classes: int) -> dict[str, Any]:
    """Return the settings that give all heads of a model that many classes.

    Args:
        model: The model of the recipe.
        num_classes: Number of classes.

    Returns:
        Settings to be merged into the model, in which `_base_` stands for
        the recipe.
    """
    return _sizes(model, num_classes, '_base_.model')


def _sizes(
    node: Mapping[str, Any], num_classes: int, path: str
) -> dict[str, Any]:
    sizes: dict[str, Any] = {}
    for name, part in node.items():
        place = f'{path}.{name}'
        if name in HEADS and isinstance(part, (list, tuple)):
            # mmengine replaces lists as a whole.
            sizes[name] = Code(
                f'[dict(head, num_classes={num_classes}) for head in {place}]'
            )
        elif name in HEADS and isinstance(part, Mapping):
            sizes[name] = {'num_classes': num_classes}
        elif isinstance(part, Mapping):
            inner = _sizes(part, num_classes, place)
            if inner:
                sizes[name] = inner
    return sizes


def merged(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> dict[str, Any]:
    """Return two nested settings in one; the second overrules the first."""
    result = dict(first)
    for key, value in second.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merged(old, value)
        result[key] = value
    return result


def _text(
    recipe: Path,
    cfg: Config,
    target: Path,
    found: OwnData,
    batch_size: int,
    schedule: dict[str, Any],
    note: str,
    command: Sequence[str],
) -> str:
    """Return the text of the config."""
    if config_folder() in recipe.parents:
        base = PREFIX + recipe.relative_to(config_folder()).as_posix()
    else:
        base = relpath(recipe, target.parent)
    loader: dict[str, Any] = {'batch_size': batch_size}
    data = merged({'train_dataloader': loader}, found.settings)
    model = merged(size_heads(cfg.model, len(found.classes)), found.model)
    written = _comment(f'Written by: {shlex.join(command)}') if command else ''
    parts = [
        f'{written}# Change it as you like; then\n'
        f'#   swin-dense train {target}\n',
        assignments({'_base_': base}),
        assignments({'work_dir': target.parent.as_posix(), 'recipe': None}),
        assignments({'classes': list(found.classes), **data}),
        assignments({'model': model}),
        _comment(f'{note[0].upper()}{note[1:]}.') + assignments(schedule),
    ]
    return '\n'.join(parts)


def _body(text: str) -> str:
    """Return a config without the command line above it.

    The same command may have options that do not concern the config, such as
    --resume.
    """
    return text[text.find('_base_ =') :]


def _comment(text: str) -> str:
    """Return a text as the lines of a comment."""
    return indent(fill(text, 77, break_long_words=False), '# ') + '\n'
