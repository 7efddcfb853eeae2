"""Objects that mmengine stores are read, and others are refused."""

import io
import os
import subprocess
import sys
from pickle import UnpicklingError
from types import ModuleType

import mmengine.optim.scheduler as schedulers
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint


@pytest.fixture
def round_trip(tmp_path):
    """Return a function that writes a value and reads it again."""

    def write_and_read(value):
        torch.save({'x': value}, tmp_path / 'a.pth')
        return read_checkpoint(tmp_path / 'a.pth')['x']

    return write_and_read


class Call:
    """An object that is pickled as a call of a function."""

    def __init__(self, function, *arguments, state=None):
        self.call = function, arguments
        self.state = state

    def __reduce__(self):
        return self.call if self.state is None else (*self.call, self.state)


def test_history_buffer(round_trip):
    buffer = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1])
    again = round_trip(buffer)
    assert type(again) is HistoryBuffer
    assert [again.mean(), again.min(), again.max(), again.current()] == [
        3.0,
        1.0,
        6.0,
        6.0,
    ]
    assert again.statistics('mean', 2) == 4.0
    again.update(9.0)
    assert again.current() == 9.0
    assert HistoryBuffer._statistics_methods['mean'] is HistoryBuffer.mean


def test_empty_history_buffer(round_trip):
    assert round_trip(HistoryBuffer()).data[0].shape == (0,)


def test_message_hub(round_trip):
    hub = MessageHub.get_instance('allow_list')
    hub.update_scalar('train/loss', 0.5)
    hub.update_scalar('train/loss', torch.tensor(0.25))
    hub.update_info('best_score', np.float64(0.4))
    hub.update_info('iter', 7)
    again = MessageHub.get_instance('allow_list_again')
    again.load_state_dict(round_trip(hub.state_dict()))
    assert again.get_scalar('train/loss').mean() == 0.375
    assert again.get_info('best_score') == 0.4
    assert again.get_info('iter') == 7


@pytest.mark.parametrize(
    'name, kwargs',
    [
        ('ConstantLR', dict()),
        ('CosineAnnealingLR', dict(T_max=3)),
        (
            'CosineRestartLR',
            dict(periods=[2, 2], restart_weights=[1, 1], eta_min=0),
        ),
        ('ExponentialLR', dict(gamma=0.1)),
        ('LinearLR', dict()),
        ('MultiStepLR', dict(milestones=[1, 2])),
        ('OneCycleLR', dict(eta_max=1, total_steps=4)),
        (
            'OneCycleLR',
            dict(eta_max=1, total_steps=4, anneal_strategy='linear'),
        ),
        ('PolyLR', dict()),
        ('ReduceOnPlateauLR', dict(monitor='loss')),
        ('StepLR', dict(step_size=1)),
    ],
)
def test_schedules(name, kwargs, round_trip):
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    state = getattr(schedulers, name)(optimizer, **kwargs).state_dict()
    assert round_trip(state) == state


@pytest.mark.parametrize(
    'value',
    [
        np.float64(1.5),
        np.float32(1.5),
        np.int64(-3),
        np.bool_(True),
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([True, False]),
        np.zeros(0, np.uint8),
        np.ones((2, 0, 3), np.float16),
        np.array([1 + 2j]),
    ],
)
def test_numbers_of_numpy(value, round_trip):
    again = round_trip(value)
    assert type(again) is type(value) and again.dtype == value.dtype
    np.testing.assert_array_equal(again, value)


@pytest.mark.parametrize('module', ['numpy.core', 'numpy._core'])
def test_names_of_numpy_1_and_2(module, tmp_path):
    here = np.float64(0).__reduce__()[0].__module__.encode()
    path = tmp_path / 'a.pth'
    torch.save(
        dict(number=np.float64(1.5), array=np.arange(3)),
        path,
        _use_new_zipfile_serialization=False,
    )
    there = f'{module}.multiarray'.encode()
    content = path.read_bytes().replace(here, there)
    assert there in content
    path.write_bytes(content)
    again = read_checkpoint(path)
    assert again['number'] == 1.5 and again['array'].tolist() == [0, 1, 2]


def test_configurations_become_plain_dictionaries(monkeypatch, round_trip):
    again = round_trip(dict(meta=ConfigDict(a=[ConfigDict(b=1)])))
    assert again == dict(meta=dict(a=[dict(b=1)]))
    assert type(again['meta']) is dict and type(again['meta']['a'][0]) is dict

    # As official classification files hold it; yacs need not be there.
    class CfgNode(dict):
        pass

    CfgNode.__module__, CfgNode.__qualname__ = 'yacs.config', 'CfgNode'
    for name in ('yacs', 'yacs.config'):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules['yacs.config'].CfgNode = CfgNode
    node = CfgNode(MODEL=CfgNode(TYPE='swin'))
    node.__dict__['__immutable__'] = True
    again = round_trip(dict(config=node))
    assert type(again['config']) is dict
    assert again == dict(config=dict(MODEL=dict(TYPE='swin')))


def test_mmengine_reads_such_a_file(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'loss': HistoryBuffer([1.0], [1])}, path)
    loaded = CheckpointLoader.load_checkpoint(str(path), 'cpu')
    assert loaded['loss'].mean() == 1.0
    with pytest.raises(FileNotFoundError):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'absent.pth'))
    torch.save({'x': Call(os.system, 'echo executed')}, path)
    with pytest.raises(CheckpointError, match='a.pth is refused.*system'):
        CheckpointLoader.load_checkpoint(str(path))


def test_mmengine_gets_no_config_to_execute(tmp_path):
    path = tmp_path / 'a.pth'
    code = 'raise SystemExit'
    torch.save(
        dict(
            meta=dict(epoch=1, config=code, cfg=code),
            message_hub=dict(runtime_info=dict(iter=2, cfg=code)),
        ),
        path,
    )
    for load in (
        CheckpointLoader.load_checkpoint,
        mmengine_checkpoint._load_checkpoint,
        mmengine_checkpoint.load_from_local,
    ):
        assert load(str(path), 'cpu') == dict(
            meta=dict(epoch=1), message_hub=dict(runtime_info=dict(iter=2))
        )


def test_loaders_are_replaced_whenever_mmengine_imports_them():
    code = (
        'import swin_dense; from mmengine.runner import checkpoint; '
        'print(checkpoint.load_from_http.__module__, '
        'checkpoint.CheckpointLoader._schemes[""].__module__)'
    )
    for first in ('', 'from mmengine.runner import checkpoint; '):
        done = subprocess.run(
            [sys.executable, '-c', first + code],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ['swin_dense.compat.weights_only'] * 2


def getattr_of(*path):
    """Return nested `getattr` calls, starting at the class HistoryBuffer."""
    value = HistoryBuffer
    for name in path:
        value = Call(getattr, value, name)
    return value


@pytest.mark.parametrize(
    'payload',
    [
        Call(os.system, 'echo executed'),
        Call(eval, '1 + 1'),
        Call(exec, 'x = 1'),
        Call(__import__, 'os'),
        Call(getattr, dict, 'fromkeys'),
        Call(getattr, 'text', 'upper'),
        Call(getattr, torch.Tensor, '__init__'),
        getattr_of('__init__'),
        getattr_of('__init__', '__globals__'),
        getattr_of('__class__'),
        getattr_of('__subclasses__'),
        getattr_of('_statistics_methods'),
        getattr_of('update'),
        getattr_of('mean', '__globals__'),
        getattr_of('register_statistics'),
        Call(getattr, np.ndarray, 'tofile'),
        Call(getattr, schedulers.OneCycleParamScheduler, '__init__'),
        Call(schedulers.OneCycleParamScheduler, None),
        Call(bytes, 1 << 40),
        Call(np.dtype, 'O'),
        Call(np.dtype, 'V8'),
        Call(np.dtype, [('a', 'i8')]),
        Call(np.memmap, '/etc/hostname'),
        Call(np.load, '/etc/hostname'),
        np.array([None]),
        np.array(['text']),
        np.zeros(2, dtype=[('a', 'i4')]),
        np.float64,
        MessageHub,
    ],
)
def test_other_objects_are_refused(payload, tmp_path, capfd):
    path = tmp_path / 'a.pth'
    for zipped in (True, False):
        torch.save({'x': payload}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match='a.pth') as error:
            read_checkpoint(path)
        assert 'refused' in str(error.value) or 'read' in str(error.value)
    assert 'executed' not in ''.join(capfd.readouterr())


def test_statistics_of_the_process_stay(tmp_path, monkeypatch):
    methods = dict(HistoryBuffer([1.0], [1])._statistics_methods)
    monkeypatch.setattr(HistoryBuffer, '_statistics_methods', dict(methods))
    # As a file once replaced the mean by the maximum, for everybody.
    buffer = HistoryBuffer([1, 2, 9], [1, 1, 1])
    state = dict(vars(buffer), statistics_methods=dict(mean=getattr_of('max')))
    torch.save({'x': Call(HistoryBuffer, state=state)}, tmp_path / 'a.pth')
    again = read_checkpoint(tmp_path / 'a.pth')['x']
    assert again.statistics('mean') == 4.0
    assert buffer.statistics('mean') == 4.0
    assert HistoryBuffer._statistics_methods == methods


@pytest.mark.parametrize(
    'state',
    [
        dict(_log_history=np.ones(3)),
        dict(_log_history=[1.0, 2.0]),
        dict(_log_history=np.ones((2, 1))),
        dict(max_length=1),
        dict(max_length='2'),
        dict(max_length=True),
    ],
)
def test_malformed_histories(tmp_path, state):
    state = {**vars(HistoryBuffer([1.0, 2.0], [1, 1])), **state}
    torch.save({'x': Call(HistoryBuffer, state=state)}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='history of logged values'):
        read_checkpoint(tmp_path / 'a.pth')


def test_plain_torch_load_is_as_before():
    file = io.BytesIO()
    torch.save(np.arange(3), file)
    file.seek(0)
    with pytest.raises(UnpicklingError, match='_reconstruct'):
        torch.load(file, weights_only=True)


@pytest.mark.parametrize('flags', [63, 1])
def test_flags_of_a_number_type_are_refused(tmp_path, flags):
    # With other flags numpy would take numbers for pointers to objects.
    state = (3, '<', None, None, None, -1, -1, flags)
    number = np.arange(3.0).__reduce__()
    kind = Call(np.dtype, 'f8', False, True, state=state)
    content = number[2][4]
    array = Call(
        *number[:1], *number[1], state=(1, (3,), kind, False, content)
    )
    torch.save({'x': array}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='records or objects'):
        read_checkpoint(tmp_path / 'a.pth')


def test_import_is_light_and_silent():
    code = (
        'import swin_dense, sys; '
        'print([m for m in ("mmdet", "mmseg", "mmcv", "mmengine.runner", '
        '"mmengine.optim") if m in sys.modules])'
    )
    done = subprocess.run(
        [sys.executable, '-W', 'always', '-c', code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == '[]\n'
    assert 'swin_dense' not in done.stderr
