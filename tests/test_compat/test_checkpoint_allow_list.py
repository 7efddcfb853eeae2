"""What mmengine stores can be read with weights only, and nothing else."""
import builtins
import io
import os
import subprocess
import sys
from collections import OrderedDict
from pickle import UnpicklingError
from types import ModuleType

import mmengine.optim.scheduler as schedulers
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner.checkpoint import CheckpointLoader

import swin_dense  # noqa: F401
from swin_dense.compat import checkpoints


def round_trip(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments, state=None):
        self.call = function, arguments
        self.state = state

    def __reduce__(self):
        return self.call if self.state is None else (*self.call, self.state)


def test_history_buffer():
    buffer = HistoryBuffer([1., 2., 6.], [1, 1, 1])
    again = round_trip(buffer)
    assert type(again) is HistoryBuffer
    assert [again.mean(),
            again.min(),
            again.max(),
            again.current()] == [3., 1., 6., 6.]
    assert again.statistics('mean', 2) == 4.
    again.update(9.)
    assert again.current() == 9.
    assert HistoryBuffer._statistics_methods['mean'] is HistoryBuffer.mean


def test_empty_history_buffer():
    assert round_trip(HistoryBuffer()).data[0].shape == (0, )


def test_message_hub():
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


@pytest.mark.parametrize('name, kwargs', [
    ('ConstantLR', dict()),
    ('CosineAnnealingLR', dict(T_max=3)),
    ('CosineRestartLR', dict(
        periods=[2, 2], restart_weights=[1, 1], eta_min=0)),
    ('ExponentialLR', dict(gamma=.1)),
    ('LinearLR', dict()),
    ('MultiStepLR', dict(milestones=[1, 2])),
    ('OneCycleLR', dict(eta_max=1, total_steps=4)),
    ('OneCycleLR', dict(eta_max=1, total_steps=4, anneal_strategy='linear')),
    ('PolyLR', dict()),
    ('ReduceOnPlateauLR', dict(monitor='loss')),
    ('StepLR', dict(step_size=1)),
])
def test_schedules(name, kwargs):
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=.1, momentum=.9)
    state = getattr(schedulers, name)(optimizer, **kwargs).state_dict()
    assert round_trip(state) == state


@pytest.mark.parametrize('value', [
    np.float64(1.5),
    np.float32(1.5),
    np.int64(-3),
    np.bool_(True),
    np.arange(6).reshape(2, 3),
    np.asfortranarray(np.arange(6.).reshape(2, 3)),
    np.array([True, False]),
    np.zeros(0, np.uint8),
    np.ones((2, 0, 3), np.float16),
    np.array([1 + 2j]),
])
def test_numbers_of_numpy(value):
    again = round_trip(value)
    assert type(again) is type(value) and again.dtype == value.dtype
    np.testing.assert_array_equal(again, value)


@pytest.mark.parametrize('module', ['numpy.core', 'numpy._core'])
def test_names_of_numpy_1_and_2(module):
    here = np.float64(0).__reduce__()[0].__module__.encode()
    file = io.BytesIO()
    torch.save([np.float64(1.5), np.arange(3)],
               file,
               _use_new_zipfile_serialization=False)
    there = f'{module}.multiarray'.encode()
    content = file.getvalue().replace(here, there)
    assert there in content
    number, array = torch.load(io.BytesIO(content), weights_only=True)
    assert number == 1.5 and array.tolist() == [0, 1, 2]


def test_configurations_become_plain_dictionaries(monkeypatch):
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
    assert type(again['config']) is OrderedDict
    assert again == dict(config=dict(MODEL=dict(TYPE='swin')))


def test_mmengine_reads_such_a_file(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'loss': HistoryBuffer([1.], [1])}, path)
    loaded = CheckpointLoader.load_checkpoint(str(path), 'cpu')
    assert loaded['loss'].mean() == 1.


def getattr_of(*path):
    """Nested `getattr` calls, starting at the class HistoryBuffer."""
    value = HistoryBuffer
    for name in path:
        value = Call(getattr, value, name)
    return value


@pytest.mark.parametrize('payload', [
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
])
def test_anything_else_is_refused(payload, capfd):
    file = io.BytesIO()
    torch.save({'x': payload}, file)
    file.seek(0)
    with pytest.raises((UnpicklingError, TypeError)):
        torch.load(file, weights_only=True)
    assert 'executed' not in ''.join(capfd.readouterr())


def test_stand_in_of_getattr():
    assert checkpoints._attribute(HistoryBuffer, 'max') is HistoryBuffer.max
    with pytest.raises(UnpicklingError, match="'__init__' on <class 'mmeng"):
        checkpoints._attribute(HistoryBuffer, '__init__')
    with pytest.raises(UnpicklingError, match='not allowed'):
        checkpoints._attribute(HistoryBuffer, ['mean'])
    allowed = torch.serialization.get_safe_globals()
    functions = [f[0] if isinstance(f, tuple) else f for f in allowed]
    for unsafe in (builtins.getattr, np.dtype):
        assert not any(f is unsafe for f in functions)


def test_registered_statistics_count(monkeypatch):

    def median(self):
        return np.median(self._log_history)

    methods = {**HistoryBuffer._statistics_methods, 'median': median}
    monkeypatch.setattr(HistoryBuffer, '_statistics_methods', methods)
    assert checkpoints._attribute(HistoryBuffer, 'median') is median
    # A file may put entries there, but those do not become attributes.
    methods['__init__'] = 'planted'
    assert checkpoints._attribute(HistoryBuffer, '__init__') == 'planted'


def test_state_of_a_number_type_cannot_be_set():
    # With other flags numpy would take numbers for pointers to objects.
    flags = (3, '<', None, None, None, -1, -1, 63)
    copy = np.dtype('f8', copy=True)
    copy.__setstate__(flags)
    assert copy.flags == 63
    again = round_trip([Call(np.dtype, 'f8', False, True, state=flags)])[0]
    assert again is np.dtype('f8') and again.flags == 0


def test_import_is_light_and_silent():
    code = ('import swin_dense, sys; '
            'print([m for m in ("mmdet", "mmseg", "mmcv", "mmengine.runner", '
            '"mmengine.optim") if m in sys.modules])')
    done = subprocess.run([sys.executable, '-W', 'always', '-c', code],
                          capture_output=True,
                          text=True,
                          check=True)
    assert done.stdout == '[]\n'
    assert 'swin_dense' not in done.stderr
