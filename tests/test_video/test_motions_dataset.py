"""The data set of moving shapes generates its clips."""

import json

import pytest
from mmengine.registry import DATASETS, DefaultScope

from swin_dense.synthetic.motions import (
    MANIFEST,
)

pytest.importorskip('av', reason='clips are written by PyAV')


def test_the_data_set_is_generated(tmp_path):
    pytest.importorskip('mmaction', reason='needs mmaction2')
    settings = dict(
        type='swin_dense.MotionsDataset',
        data_root=str(tmp_path / 'motions'),
        data_prefix=dict(video='val'),
        generate=dict(
            num_clips=5,
            num_frames=4,
            image_size=32,
            classes=['up', 'grow', 'left'],
        ),
        test_mode=True,
    )
    with DefaultScope.overwrite_default_scope('mmaction'):
        dataset = DATASETS.build(settings)
        again = DATASETS.build({**settings, 'generate': None})
        with pytest.raises(ValueError, match="val was drawn with \\['up', "):
            DATASETS.build({**settings, 'metainfo': dict(classes=['up'])})
        with pytest.raises(FileNotFoundError, match='train/list.txt does not'):
            DATASETS.build(
                {
                    **settings,
                    'generate': None,
                    'data_prefix': dict(video='train'),
                }
            )
    for version in (dataset, again):
        assert version.metainfo['classes'] == ('up', 'grow', 'left')
        labels = [version.get_data_info(i)['label'] for i in range(5)]
        assert labels == [0, 1, 2, 0, 1]
    manifest = json.loads((tmp_path / 'motions/val' / MANIFEST).read_text())
    assert manifest['info']['parameters']['num_clips'] == 5
    assert manifest['info']['description'] == (
        'Clips of moving shapes drawn by swin_dense'
    )
