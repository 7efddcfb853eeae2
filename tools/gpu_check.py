"""Run `swin-dense gpu-check` from a checkout."""

import sys

from swin_dense.commands.gpu_check import main

if __name__ == '__main__':
    sys.exit(main())
