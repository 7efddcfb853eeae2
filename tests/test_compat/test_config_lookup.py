"""`_base_ = 'swin_dense::...'`, and mmengine's hub."""

import subprocess
import sys

import mmengine.hub
import pytest
from mmengine.config import Config

from swin_dense.config_files import config_folder

NAME = 'swin_dense::mask_rcnn_swin_nano_shapes.py'
# Whichever of the two is imported first.
ORDERS = (
    'import swin_dense; from mmengine.config import Config; '
    'from mmengine.hub import get_config',
    'from mmengine.config import Config; '
    'from mmengine import hub; import swin_dense; '
    'get_config = hub.get_config',
)


def write(path, bases):
    path.write_text(
        f'_base_ = {bases!r}\nmodel = dict(backbone=dict(drop_path_rate=0.5))'
    )
    return path


@pytest.mark.parametrize('order', ORDERS)
def test_a_config_anywhere_inherits(order, tmp_path):
    path = write(tmp_path / 'mine.py', NAME)
    code = (
        f'{order}; import sys; cfg = Config.fromfile(sys.argv[1]); '
        'backbone = cfg.model.backbone; '
        'print(backbone.type, backbone.drop_path_rate); '
        'print(get_config(sys.argv[2]).model.type)'
    )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code, str(path), NAME],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.splitlines() == [
        'swin_dense.SwinTransformer 0.5',
        'MaskRCNN',
    ], done.stderr


def test_inherited_as_if_it_lay_beside(tmp_path):
    """No scope is added, so that types of the host are found."""
    file = config_folder() / 'mask_rcnn_swin_nano_shapes.py'
    by_name = Config.fromfile(write(tmp_path / 'a.py', NAME))
    by_path = Config.fromfile(write(tmp_path / 'b.py', str(file)))
    assert by_name.to_dict() == by_path.to_dict()


def test_parts_and_configs_of_hosts_are_mixed(tmp_path):
    pytest.importorskip('mmdet', reason='inherits a config of mmdet')
    bases = [
        'swin_dense::_base_/schedules/schedule_quick.py',
        'mmdet::_base_/datasets/coco_detection.py',
    ]
    cfg = Config.fromfile(write(tmp_path / 'mine.py', bases))
    assert cfg.dataset_type == 'CocoDataset' and cfg.optim_wrapper


@pytest.mark.parametrize(
    'name, answer',
    [
        (
            'cascade_swin_b_koko.py',
            'did you mean swin_dense::cascade_swin_b_coco.py?',
        ),
        ('zzz', 'the recipes are: cascade_cb_swin_s_coco, '),
    ],
)
def test_unknown_names_are_answered(name, answer, tmp_path):
    path = write(tmp_path / 'mine.py', f'swin_dense::{name}')
    with pytest.raises(FileNotFoundError) as caught:
        Config.fromfile(path)
    assert str(caught.value).startswith(
        f'there is no config swin_dense::{name}; {answer}'
    )


def test_the_hub_has_no_weights():
    with pytest.raises(ValueError, match='publishes no weights of whole'):
        mmengine.hub.get_config(NAME, pretrained=True)
