"""What a command line names, and what its results are called."""
from pathlib import Path

import pytest

from swin_dense.engine.inputs import find_images, find_videos, name_outputs


@pytest.fixture
def tree(tmp_path):
    for name in ('a/1.mp4', 'a/2.AVI', 'a/notes.txt', 'a/deep/3.webm',
                 'frames/0.jpg', 'frames/1.jpg', 'mixed/0.jpg', 'mixed/4.mp4',
                 'b/1.mp4', 'odd.bin'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(tree, found):
    return [str(path.relative_to(tree)) for path in found]


@pytest.mark.parametrize('inputs, expected', [
    (['a'], ['a/1.mp4', 'a/2.AVI']),
    (['a/**/*'], ['a/1.mp4', 'a/2.AVI', 'a/deep/3.webm']),
    (['frames'], ['frames']),
    (['frames', 'frames'], ['frames']),
    (['mixed'], ['mixed/4.mp4']),
    (['odd.bin'], ['odd.bin']),
    (['b/1.mp4', 'b', 'frames'], ['b/1.mp4', 'frames']),
])
def test_videos(tree, inputs, expected):
    found = find_videos([str(tree / entry) for entry in inputs])
    assert names(tree, found) == expected


@pytest.mark.parametrize('entry', ['a/deep/4.webm', 'nothing/*', 'empty'])
def test_no_videos(tree, entry):
    (tree / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='no video there; .*.mp4'):
        find_videos([str(tree / entry)])


def test_images(tree):
    found = find_images([str(tree / 'frames'), str(tree / '*' / '*.jpg')])
    assert names(tree,
                 found) == ['frames/0.jpg', 'frames/1.jpg', 'mixed/0.jpg']
    with pytest.raises(FileNotFoundError, match='no image there'):
        find_images([str(tree / 'a')])


def test_names_of_results(tree):
    videos = find_videos([str(tree / 'a'), str(tree / 'b')])

    def rename(name: Path) -> Path:
        return name.with_name(f'{name.name}.npz')

    out = tree / 'out'
    assert name_outputs(videos[:2], out,
                        rename) == [out / '1.mp4.npz', out / '2.AVI.npz']
    assert name_outputs(videos, out, rename) == [
        out / 'a/1.mp4.npz', out / 'a/2.AVI.npz', out / 'b/1.mp4.npz'
    ]
    with pytest.raises(ValueError, match='would overwrite the input'):
        name_outputs(videos[:1], tree / 'a', lambda name: name)
