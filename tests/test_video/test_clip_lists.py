"""Lists, CSV files and folders of clips are read or refused."""

import pytest

from swin_dense.video.clip_lists import (
    Clip,
    class_names,
    duplicate_clips,
    number_labels,
    read_clips,
)

KINETICS = (
    'label,youtube_id,time_start,time_end,split\n'
    'air drumming,-0zQlIHSeRA,4,14,train\n'
    '"abseiling, fast",abc,100.0,110,train\n'
    'archery,gone,1,11,train\n'
)


@pytest.fixture
def write(tmp_path):
    """Write a file below the test's folder and return its path."""

    def write(name, text=''):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def labelled(clips):
    return [(clip.name, clip.label, clip.place) for clip in clips]


def test_a_list(write):
    path = write('list.txt', 'a/my first clip.mp4 3\n\n  b.mp4\t0  \nc d/ 1')
    clips = read_clips(path, 'videos')
    assert labelled(clips) == [
        ('a/my first clip.mp4', 3, 'line 1'),
        ('b.mp4', 0, 'line 3'),
        ('c d', 1, 'line 4'),
    ]
    assert clips[0].path == 'videos/a/my first clip.mp4'
    path = write('list.txt', 'a b.mp4; 3\n')
    assert labelled(read_clips(path, '', ';')) == [('a b.mp4', 3, 'line 1')]
    path = write('list.txt', '/else/where.mp4 archery\n')
    (clip,) = read_clips(path, 'videos')
    assert (clip.path, clip.label) == ('/else/where.mp4', 'archery')


def test_a_list_of_folders_with_their_lengths(write, tmp_path):
    write('frames/some clip/img_00001.jpg')
    write('frames/42/img_00001.jpg')
    path = write('list.txt', 'some clip 163 1\n42 5\n')
    clips = read_clips(path, str(tmp_path / 'frames'))
    assert labelled(clips) == [('some clip', 1, 'line 1'), ('42', 5, 'line 2')]
    assert clips[0].path == str(tmp_path / 'frames' / 'some clip')


@pytest.mark.parametrize(
    'text, line',
    [
        ('Video,Label\na b.mp4,air drumming\n', 2),
        ('id,label,path\n7,air drumming,a b.mp4\n', 2),
        ('a b.mp4,air drumming\n', 1),
    ],
)
def test_csv(write, text, line):
    clips = read_clips(write('list.csv', text), 'videos')
    assert clips == [
        Clip('videos/a b.mp4', 'air drumming', f'line {line}', 'a b.mp4')
    ]


def test_csv_with_numbers(write):
    path = write('list.csv', 'path,label\na.mp4,7\nb.mp4,\n')
    assert [clip.label for clip in read_clips(path, '')] == [7, None]


def test_csv_of_kinetics(write, tmp_path):
    path = write('train.csv', KINETICS)
    write('videos/air drumming/-0zQlIHSeRA_000004_000014.mkv')
    write('videos/abc.webm')
    clips = read_clips(path, str(tmp_path / 'videos'))
    assert labelled(clips) == [
        (
            'air drumming/-0zQlIHSeRA_000004_000014.mkv',
            'air drumming',
            'line 2',
        ),
        ('abc.webm', 'abseiling, fast', 'line 3'),
        ('gone_000001_000011.mp4', 'archery', 'line 4'),
    ]
    assert class_names(clips) == ['abseiling, fast', 'air drumming', 'archery']
    path = write('train.csv', KINETICS.replace(',4,', ',four,'))
    with pytest.raises(ValueError, match="line 2: start 'four' and end '14'"):
        read_clips(path, str(tmp_path / 'videos'))


def test_folders(write, tmp_path):
    for name in (
        'run/b.mp4',
        'run/a.AVI',
        'run/notes.txt',
        'jump/c/1.jpg',
        'top.mp4',
        '.hidden/x.mp4',
    ):
        write(f'data/{name}')
    clips = read_clips('', str(tmp_path / 'data'))
    assert labelled(clips) == [
        ('jump/c', 'jump', 'folder jump'),
        ('run/a.AVI', 'run', 'folder run'),
        ('run/b.mp4', 'run', 'folder run'),
    ]
    write('data/jump/1.jpg')
    with pytest.raises(
        ValueError,
        match='jump contains the image 1.jpg: .* Put '
        'the frames of each clip into a separate folder',
    ):
        read_clips('', str(tmp_path / 'data'))


def test_other_files_are_refused(write, tmp_path):
    path = write('list.csv', 'video,start,end\na.mp4,1,2\n')
    with pytest.raises(
        ValueError,
        match=r"has the columns \['video', "
        r"'start', 'end'\]: expected are path and label",
    ):
        read_clips(path, '')
    binary = tmp_path / 'list.txt'
    binary.write_bytes(b'\x00\xff\xfe\x80')
    with pytest.raises(ValueError, match='list.txt is not a list of clips'):
        read_clips(str(binary), '')
    assert read_clips(write('empty.csv'), '') == []


def clips(*labels):
    return [
        Clip(f'v/{i}.mp4', label, f'line {i}', f'{i}.mp4')
        for i, label in enumerate(labels, 1)
    ]


def test_names_and_numbers_become_labels():
    assert number_labels(
        clips(2, 'run', 0, 'jump'), ['jump', 'sit', 'run']
    ) == ([2, 2, 0, 0], [])


def test_labels_out_of_range():
    labels, problems = number_labels(clips(0, 3, -1, 1), ['a', 'b', 'c'])
    assert labels == [0, -1, -1, 1]
    assert problems == [
        'line 2 and 1 more: label 3, num_classes=3 (valid labels 0..2)'
    ]


def test_labels_that_count_from_one():
    labels, problems = number_labels(clips(1, 2, 3), ['a', 'b', 'c'])
    assert labels == [1, 2, -1]
    assert problems[0].startswith('line 3: label 3, num_classes=3 (valid ')
    assert 'seem to count from 1: 0 never occurs' in problems[0]
    # One more number than classes: no hint to count from 1.
    assert 'count from' not in number_labels(clips(1, 5), ['a'])[1][0]


def test_names_that_are_unknown_and_labels_that_are_absent():
    labels, problems = number_labels(
        clips('Archery', 'archery', 'swim', 'archerry', None, 'archerry'),
        ['archery', 'boxing'],
    )
    assert labels == [-1, 0, -1, -1, -1, -1]
    assert problems == [
        "line 5 has no label ('5.mp4'): a line is 'path label'; with commas, "
        'the file must end in .csv',
        "line 1: 'Archery' is not among the 2 classes; did you mean "
        "'archery'?",
        "line 3: 'swim' is not among the 2 classes",
        "line 4 and 1 more: 'archerry' is not among the 2 classes; did you "
        "mean 'archery'?",
    ]


def test_clips_that_are_listed_twice():
    twice = [*clips(0, 1, 2), Clip('v/./1.mp4', 0, 'line 4', './1.mp4')]
    assert duplicate_clips(twice, [0, 1, 2, 0]) == [
        'v/1.mp4 is listed more than once, with one label: line 1, line 4'
    ]
    assert 'with different labels' in duplicate_clips(twice, [0, 1, 2, 1])[0]
    assert duplicate_clips(clips(0, 1), [0, 1]) == []
    many = clips(*range(7)) * 2
    problems = duplicate_clips(many, [0] * 14)
    assert len(problems) == 6
    assert problems[-1] == '7 clips are listed more than once'
