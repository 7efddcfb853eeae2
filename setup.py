"""Put the configs into the wheel; everything else is said in setup.cfg.

OpenMMLab's packages keep their configs and the index of them in a folder
`.mim` of the package, where `mim` and mmengine look.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Build the package with `configs/` and model-index.yml in `.mim`."""

    def run(self):
        """Build; an editable install uses the folder of the checkout."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, 'swin_dense', '.mim')
        # A file that was removed since an earlier build must not remain.
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(
            ROOT / 'configs',
            target / 'configs',
            ignore=shutil.ignore_patterns('__pycache__'),
        )
        shutil.copy(ROOT / 'model-index.yml', target)


setup(cmdclass={'build_py': BuildWithConfigs})
