"""The full list of what `import swin_dense` changes in a process."""

import json
import subprocess
import sys
from importlib.util import find_spec

# Everything that the import changes. Whoever adds to this list says so in
# `docs/notes/compatibility.md`.
FINDERS = [
    'swin_dense.compat.mending.MendingFinder',
    'swin_dense.compat.mmaction_imports.DRNFinder',
    'swin_dense.compat.mmcv_ext.ExtFinder',
    'swin_dense.compat.weights_only.LoadingFinder',
]
REBOUND = ['mmengine.config.config.Config._get_cfg_path'] + (
    []
    if find_spec('pkg_resources')
    else [
        'mmengine.config.config.get_installed_path',
        'mmengine.config.config.is_installed',
        'mmengine.utils.get_installed_path',
        'mmengine.utils.is_installed',
        'mmengine.utils.package_utils.get_installed_path',
        'mmengine.utils.package_utils.is_installed',
    ]
)

# All that the package needs is imported first, so that its own effects are
# left. Values are compared by identity where they can be replaced.
CODE = """
import atexit, builtins, codecs, gc, json, locale, logging, os, signal, socket
import sys, threading, warnings
import numpy, torch, mmengine, mmengine.config.config, mmengine.dist
import mmengine.logging, mmengine.utils.package_utils, torch.hub
import mmengine.registry

WATCHED = ('mmengine', 'torch', 'numpy', 'builtins', 'warnings', 'os',
           'pickle', 'zipfile', 'importlib', 'socket', 'urllib', 'logging')


def finder(value):
    kind = value if isinstance(value, type) else type(value)
    return f'{kind.__module__}.{kind.__qualname__}'


def state():
    loaded = torch.serialization.get_safe_globals()
    return dict(
        finders=[finder(f) for f in sys.meta_path],
        hooks=[repr(h) for h in sys.path_hooks],
        path=list(sys.path),
        safe_globals=sorted(map(repr, loaded)),
        filters=list(map(repr, warnings.filters)),
        environment=dict(os.environ),
        threads=[t.name for t in threading.enumerate()],
        signals=[repr(signal.getsignal(s)) for s in signal.valid_signals()],
        handlers=[repr(h) for h in logging.root.handlers],
        levels=[logging.root.level, logging.root.disabled],
        system=[repr(sys.excepthook), repr(sys.displayhook), sys.gettrace(),
                sys.getrecursionlimit(), os.getcwd(), os.umask(0o22),
                locale.setlocale(locale.LC_ALL), gc.isenabled(),
                socket.getdefaulttimeout(), atexit._ncallbacks(),
                repr(sys.stdout), repr(sys.stderr)],
        torch=[repr(torch.get_default_dtype()), torch.get_num_threads(),
               torch.is_grad_enabled(), torch.initial_seed(),
               torch.are_deterministic_algorithms_enabled(),
               torch.get_float32_matmul_precision(),
               torch.backends.cudnn.benchmark, torch.hub.get_dir()],
        numpy=[repr(numpy.geterr()), repr(numpy.get_printoptions())])


def attributes():
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name.split('.')[0] in WATCHED and module is not None:
            for key, value in list(vars(module).items()):
                found[f'{name}.{key}'] = value
                if isinstance(value, type) and value.__module__ == name:
                    for inner, entry in list(vars(value).items()):
                        found[f'{name}.{key}.{inner}'] = entry
    return found


before, attributes_before = state(), attributes()
import swin_dense
after, attributes_after = state(), attributes()
changed = {k: [before[k], after[k]] for k in before if before[k] != after[k]}
# New ones are modules and entries of caches that were imported.
rebound = [name for name, value in attributes_before.items()
           if attributes_after.get(name, value) is not value]
removed = sorted(set(attributes_before) - set(attributes_after))
print(json.dumps(dict(changed=changed, rebound=rebound, removed=removed)))
"""


def test_effects_of_the_import():
    done = subprocess.run(
        [sys.executable, '-c', CODE],
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    before, after = result['changed'].pop('finders')
    assert sorted(set(after) - set(before)) == FINDERS
    assert len(after) == len(before) + len(FINDERS)
    assert sorted(result['rebound']) == REBOUND
    assert result['removed'] == []
    assert result['changed'] == {}
    assert 'swin_dense' not in done.stderr


def test_safe_globals_stay_when_all_of_it_is_imported():
    code = (
        'import torch; from torch.serialization import get_safe_globals; '
        'import mmengine.runner; before = set(get_safe_globals()); '
        'import swin_dense.engine.runner, swin_dense.backbones; '
        'print(before ^ set(get_safe_globals()))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == 'set()\n'
