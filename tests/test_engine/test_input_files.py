"""Inputs of a command line are found, and its results named."""

import os
from pathlib import Path

import pytest

from helpers.hostile_paths import write_hostile_paths
from swin_dense.engine.input_files import (
    distinct_paths,
    drawn_name,
    find_images,
    find_videos,
    name_outputs,
    report_unreadable,
)


@pytest.fixture
def tree(tmp_path):
    for name in (
        'a/1.mp4',
        'a/2.AVI',
        'a/notes.txt',
        'a/deep/3.webm',
        'frames/0.jpg',
        'frames/1.jpg',
        'mixed/0.jpg',
        'mixed/4.mp4',
        'b/1.mp4',
        'odd.bin',
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(tree, files):
    return [str(path.relative_to(tree)) for path in files]


@pytest.mark.parametrize(
    'inputs, expected',
    [
        (['a'], ['a/1.mp4', 'a/2.AVI']),
        (['a/**/*'], ['a/1.mp4', 'a/2.AVI', 'a/deep/3.webm']),
        (['frames'], ['frames']),
        (['frames', 'frames'], ['frames']),
        (['mixed'], ['mixed/4.mp4']),
        (['odd.bin'], ['odd.bin']),
        (['b/1.mp4', 'b', 'frames'], ['b/1.mp4', 'frames']),
    ],
)
def test_videos(tree, inputs, expected):
    files = find_videos([str(tree / entry) for entry in inputs])
    assert names(tree, files) == expected


@pytest.mark.parametrize('entry', ['a/deep/4.webm', 'nothing/*', 'empty'])
def test_no_videos(tree, entry):
    (tree / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='no video there; .*.mp4'):
        find_videos([str(tree / entry)])


def test_images(tree):
    files = find_images([str(tree / 'frames'), str(tree / '*' / '*.jpg')])
    assert names(tree, files) == [
        'frames/0.jpg',
        'frames/1.jpg',
        'mixed/0.jpg',
    ]
    with pytest.raises(FileNotFoundError, match='no image there'):
        find_images([str(tree / 'a')])


def test_names_of_results(tree):
    videos = find_videos([str(tree / 'a'), str(tree / 'b')])

    def rename(name: Path) -> Path:
        return name.with_name(f'{name.name}.npz')

    out = tree / 'out'
    assert name_outputs(videos[:2], out, rename) == [
        out / '1.mp4.npz',
        out / '2.AVI.npz',
    ]
    assert name_outputs(videos, out, rename) == [
        out / 'a/1.mp4.npz',
        out / 'a/2.AVI.npz',
        out / 'b/1.mp4.npz',
    ]
    with pytest.raises(ValueError, match='would overwrite the input'):
        name_outputs(videos[:1], tree / 'a', lambda name: name)


def test_entries_that_are_not_files_are_listed(tmp_path):
    """The error then names the entry; otherwise it would be left out."""
    hostile = sorted(write_hostile_paths(tmp_path, '.jpg'))
    assert find_images([str(tmp_path)]) == hostile
    assert find_images([str(tmp_path / '*.jpg')]) == hostile
    # A folder that is asked for is searched, whatever it is called.
    named = [path for path in hostile if path.stem != 'folder']
    assert find_images([str(path) for path in named]) == named
    videos = sorted(write_hostile_paths(tmp_path, '.mp4'))
    assert find_videos([str(tmp_path)]) == videos


def test_links_in_a_loop_are_searched_once(tree):
    """Two links back would give more paths than fit any memory."""
    for name in ('one', 'two'):
        (tree / name).symlink_to(tree)
        (tree / 'a' / name).symlink_to(tree)
    (tree / 'far').mkdir()
    (tree / 'far' / 'link').symlink_to(tree / 'frames')
    files = find_images([str(tree / '**' / '*.jpg')])
    assert sorted(os.path.realpath(path) for path in files) == [
        str(tree / name)
        for name in ('frames/0.jpg', 'frames/1.jpg', 'mixed/0.jpg')
    ]


def test_patterns_relative_to_the_working_folder(tree, monkeypatch):
    monkeypatch.chdir(tree)
    (tree / '.hidden').mkdir()
    (tree / '.hidden' / '9.jpg').touch()
    (tree / 'top.jpg').touch()
    assert [str(path) for path in find_images(['**/*.jpg'])] == [
        'frames/0.jpg',
        'frames/1.jpg',
        'mixed/0.jpg',
        'top.jpg',
    ]


@pytest.mark.parametrize(
    'name',
    [
        'x' * 251 + '.jpg',
        'x' * 250 + '.webp',
        'ä' * 120 + '.tiff',
        os.fsdecode(b'\xff' * 250) + '.webp',
        '-rf.bmp',
    ],
)
def test_long_names_of_results_are_shortened(tmp_path, name):
    (first,) = name_outputs([Path('in', name)], tmp_path)
    again, other = name_outputs(
        [Path('in', name), Path('in', 'y' + name[1:])], tmp_path
    )
    assert first == again != other
    assert first.suffix in ('.jpg', '.png')
    first.touch()  # the file system takes it
    assert len(os.fsencode(first.name)) <= 255


def test_names_that_only_renaming_makes_the_same():
    paths = [Path('out', name) for name in ('a.webp', 'a.webp.png', 'b.bmp')]
    first, second, third = distinct_paths(paths, drawn_name)
    assert (second, third) == (Path('out/a.webp.png'), Path('out/b.bmp.png'))
    assert first.name.startswith('a.webp-') and first.suffix == '.png'
    # Whatever order they are in.
    assert distinct_paths(paths[::-1], drawn_name) == [third, second, first]


def test_results_stay_in_their_folder(tmp_path, monkeypatch):
    """Inputs whose path goes through a parent folder."""
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / 'a')
    inputs = [Path('x.jpg'), Path('..', 'a', '..', 'b', 'x.jpg')]
    assert name_outputs(inputs, Path('out')) == [
        Path('out/a/x.jpg'),
        Path('out/b/x.jpg'),
    ]


def test_unreadable_inputs_are_reported_and_refused(capsys):
    report_unreadable([], 3, 'images', skip=False)
    assert capsys.readouterr().err == ''
    with pytest.raises(ValueError) as error:
        report_unreadable(['a.jpg: damaged'], 3, 'images', skip=False)
    assert str(error.value) == (
        '1 of 3 images could not be read, see above; the results of the '
        'others are complete. --skip-bad accepts this'
    )
    assert capsys.readouterr().err == 'skipped: a.jpg: damaged\n'


def test_unreadable_inputs_may_be_skipped(capsys):
    problems = ['a\x1b.jpg: damaged', 'b.jpg: absent']
    assert report_unreadable(problems, 3, 'images', skip=True) is None
    assert capsys.readouterr().err.splitlines() == [
        r'skipped: a\x1b.jpg: damaged',
        'skipped: b.jpg: absent',
    ]
