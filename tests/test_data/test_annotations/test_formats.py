"""Small samples of YOLO, Pascal VOC, labelme and CSV become COCO files."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from swin_dense.commands.convert_data import main

WIDTH, HEIGHT = 200, 100


def image(path):
    """Write an image of 200 x 100 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (WIDTH, HEIGHT)).save(path)


def text(path, content):
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, 'utf-8')
    return path


def convert(source, out, *options):
    """Return the status of the command, and the files that it has written."""
    status = main([str(source), '--out', str(out), *options])
    files = {file.stem: json.loads(file.read_text()) for file in out.glob('*')}
    return status, files


def objects(data):
    """Return the class name, box, segmentation and area of each object."""
    names = {entry['id']: entry['name'] for entry in data['categories']}
    return [
        (
            names[ann['category_id']],
            ann['bbox'],
            ann.get('segmentation'),
            ann['area'],
        )
        for ann in data['annotations']
    ]


def test_yolo(tmp_path, capsys):
    root = tmp_path / 'yolo'
    text(
        root / 'data.yaml',
        # The first as of Roboflow, the second as of Ultralytics.
        'train: ../train/images\nval: images/val\nnames: {0: cat, 1: dog}\n',
    )
    for name in ('a', 'b'):
        image(root / 'train' / 'images' / f'{name}.jpg')
    image(root / 'images' / 'val' / 'c.png')
    text(root / 'train/labels/a.txt', '1 0.5 0.5 0.2 0.4\n\n')
    text(root / 'labels/val/c.txt', '0 0.1 0.2 0.6 0.2 0.6 0.8 0.1 0.8')
    status, files = convert(root, tmp_path / 'out')
    assert status == 0
    assert objects(files['train']) == [('dog', [80, 30, 40, 40], None, 1600)]
    ring = [20, 20, 120, 20, 120, 80, 20, 80]
    assert objects(files['val']) == [('cat', [20, 20, 100, 60], [ring], 6000)]
    # An image without label file has no objects.
    assert len(files['train']['images']) == 2
    for file in ('train', 'val'):
        for entry in files[file]['images']:
            assert (tmp_path / 'out' / entry['file_name']).is_file()
            assert (entry['width'], entry['height']) == (WIDTH, HEIGHT)
    out = capsys.readouterr().out
    assert 'train.json: 2 images, 1 object, no masks, 2 classes' in out
    assert (
        f'to train: swin-dense train mask_rcnn_swin_t --data {tmp_path}/out/'
        f'train.json --val {tmp_path}/out/val.json'
    ) in out


@pytest.mark.parametrize(
    'line, problem',
    [
        ('2 0.5 0.5 0.2 0.4', 'class 2, but there are names for 0 to 1'),
        ('0 0.5 0.5 0.2', '3 numbers after the class: expected are 4 (box)'),
        ('0 100 50 20 40', 'numbers must be shares of the image size, 0 to 1'),
        ('cat 0.5 0.5 0.2 0.4', "'cat 0.5 0.5 0.2 0.4' are not numbers"),
    ],
)
def test_lines_of_yolo(tmp_path, capsys, line, problem):
    text(tmp_path / 'data.yaml', 'train: images\nnames: [cat, dog]\n')
    image(tmp_path / 'images' / 'a.jpg')
    labels = text(tmp_path / 'labels/a.txt', f'0 0.5 0.5 0.2 0.4\n{line}\n')
    assert convert(tmp_path, tmp_path / 'out')[0] == 1
    assert f'error: {labels} line 2: {problem}' in capsys.readouterr().err


VOC = """<annotation>
  <folder>VOC2012</folder><filename>{name}.jpg</filename>
  <size><width>0</width><height>0</height><depth>3</depth></size>
  <object><name>dog</name><difficult>{difficult}</difficult>
    <bndbox><xmin>1</xmin><ymin>11</ymin><xmax>50</xmax><ymax>60</ymax></bndbox>
  </object>
</annotation>"""


def test_pascal_voc(tmp_path):
    root = tmp_path / 'VOC2012'
    for name, difficult in (('a', 0), ('b', 1)):
        image(root / 'JPEGImages' / f'{name}.jpg')
        text(
            root / 'Annotations' / f'{name}.xml',
            VOC.format(name=name, difficult=difficult),
        )
    text(root / 'ImageSets/Main/train.txt', 'a\n')
    text(root / 'ImageSets/Main/val.txt', 'b -1\n')
    status, files = convert(root, tmp_path / 'out')
    assert status == 0 and set(files) == {'train', 'val'}
    # Pixels 1 to 50 and 11 to 60, counted from 1.
    assert objects(files['train']) == [('dog', [0, 10, 50, 50], None, 2500)]
    assert 'ignore' not in files['train']['annotations'][0]
    assert files['val']['annotations'][0]['ignore'] == 1
    # Files beside their images, as labelImg writes them.
    for name in 'ab':
        (root / 'Annotations' / f'{name}.xml').rename(
            root / 'JPEGImages' / f'{name}.xml'
        )
    status, files = convert(root / 'JPEGImages', tmp_path / 'flat')
    assert len(files['annotations']['images']) == 2


def test_errors_of_pascal_voc(tmp_path, capsys):
    file = text(tmp_path / 'a.xml', VOC.format(name='a', difficult=0))
    assert convert(tmp_path, tmp_path / 'out')[0] == 1
    assert f'{file}: its image a.jpg is not in' in capsys.readouterr().err
    image(tmp_path / 'a.jpg')
    text(file, file.read_text().replace('<xmin>1</xmin>', ''))
    assert convert(tmp_path, tmp_path / 'out')[0] == 1
    assert 'object 1 has no bndbox with xmin' in capsys.readouterr().err
    text(file, '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>')
    assert convert(tmp_path, tmp_path / 'out')[0] == 1
    assert 'defines entities, which are not read' in capsys.readouterr().err


def shape(label, kind, points, **others):
    return dict(
        label=label, shape_type=kind, points=points, group_id=None, **others
    )


def test_labelme(tmp_path, capsys):
    image(tmp_path / 'source' / 'a.png')
    pixels = np.zeros((10, 20), np.uint8)
    pixels[2:8, 5:15] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    mask = base64.b64encode(buffer.getvalue()).decode()
    two_parts = [
        shape('cat', 'polygon', [[0, 0], [20, 0], [0, 10]]),
        shape('cat', 'polygon', [[100, 0], [120, 0], [120, 10]]),
    ]
    for part in two_parts:
        part['group_id'] = 7
    content = dict(
        version='5.4.1',
        imagePath='..\\elsewhere\\a.png',
        imageData=None,
        imageHeight=HEIGHT,
        imageWidth=WIDTH,
        shapes=[
            *two_parts,
            shape('dog', 'rectangle', [[50, 40], [10, 20]]),
            shape('sun', 'circle', [[100, 50], [110, 50]]),
            shape('sea', 'mask', [[30, 60], [50, 70]], mask=mask),
            shape('cat', 'point', [[1, 1]]),
            shape('cat', 'polygon', [[-5, 0], [4, 0], [4, 4]]),
        ],
    )
    text(tmp_path / 'source' / 'a.json', json.dumps(content))
    status, files = convert(tmp_path / 'source', tmp_path / 'out')
    assert status == 0
    data = files['annotations']
    assert [entry['name'] for entry in data['categories']] == [
        'cat',
        'dog',
        'sea',
        'sun',
    ]
    cat, dog, sun, sea, other = objects(data)
    rings = [[0, 0, 20, 0, 0, 10], [100, 0, 120, 0, 120, 10]]
    assert cat == ('cat', [0, 0, 120, 10], rings, 200)
    assert dog[:2] == ('dog', [10, 20, 40, 20]) and dog[3] == 800
    assert sun[1] == [90, 40, 20, 20]
    assert abs(sun[3] - np.pi * 100) < 2
    assert sea[1] == [35, 62, 10, 6]
    decoded = coco_mask.decode(sea[2])
    assert decoded.shape == (HEIGHT, WIDTH) and decoded.sum() == 60
    assert decoded[62:68, 35:45].all()
    # Points outside the image are moved to its edge.
    assert other[1] == [0, 0, 4, 4]
    assert 'left out: 1 point, which are no areas' in capsys.readouterr().out


def test_errors_of_labelme(tmp_path, capsys):
    image(tmp_path / 'a.png')
    for bad, problem in (
        (
            shape('cat', 'polygon', [[0, 0], [1, 1]]),
            '2 points, expected are 3',
        ),
        (shape('cat', 'mask', [[0, 0], [1, 1]], mask='?'), 'mask is no PNG'),
        (shape('', 'polygon', []), 'shape 1 has no label'),
    ):
        text(
            tmp_path / 'a.json',
            json.dumps(dict(imagePath='a.png', shapes=[bad])),
        )
        assert convert(tmp_path, tmp_path / 'out')[0] == 1
        assert problem in capsys.readouterr().err


def test_csv(tmp_path):
    for name in 'abc':
        image(tmp_path / 'images' / f'{name}.jpg')
    file = text(
        tmp_path / 'train.csv',
        'filename,width,height,class,xmin,ymin,xmax,ymax\n'
        'a.jpg,200,100,dog,10,20,30,50\n'
        'b.jpg,200,100,cat,0,0,200,100\n'
        'a.jpg,200,100,cat,1,2,3.5,4\n'
        'c.jpg,200,100,,,,,\n',
    )
    status, files = convert(file, tmp_path / 'out')
    assert status == 0
    data = files['train']
    assert len(data['images']) == 3
    assert objects(data) == [
        ('dog', [10, 20, 20, 30], None, 600),
        ('cat', [1, 2, 2.5, 2], None, 5),
        ('cat', [0, 0, 200, 100], None, 20000),
    ]
    # Without a header, as RetinaNet reads it.
    text(file, 'images/a.jpg,10,20,30,50,dog\nimages/b.jpg,,,,,\n')
    files = convert(file, tmp_path / 'other')[1]
    assert objects(files['train']) == [('dog', [10, 20, 20, 30], None, 600)]
    assert len(files['train']['images']) == 2


@pytest.mark.parametrize(
    'content, problem',
    [
        ('file;a;b\n', "has the columns ['file;a;b']: expected are filename"),
        ('a.jpg,30,20,10,50,dog\n', 'line 1: xmax must be larger than xmin'),
        ('a.jpg,1,2,x,4,dog\n', 'line 1: '),
        ('b.jpg,1,2,3,4,dog\n', "line 1: there is no image 'b.jpg' in"),
    ],
)
def test_errors_of_csv(tmp_path, capsys, content, problem):
    image(tmp_path / 'a.jpg')
    file = text(tmp_path / 'boxes.csv', content)
    assert convert(file, tmp_path / 'out')[0] == 1
    assert problem in capsys.readouterr().err


def test_other_sources(tmp_path, capsys):
    assert convert(tmp_path, tmp_path / 'out')[0] == 1
    assert f'{tmp_path} is not recognised: expected' in capsys.readouterr().err
    assert convert(tmp_path / 'no', tmp_path / 'out')[0] == 1
    assert 'no does not exist' in capsys.readouterr().err
    assert convert(tmp_path, tmp_path / 'out', '--from', 'yolo')[0] == 1
    assert 'has no data.yaml: expected is a file' in capsys.readouterr().err
    assert not Path(tmp_path, 'out').exists()
