"""Run `swin-dense benchmark` from a checkout."""

import sys

from swin_dense.commands.benchmark import main

if __name__ == '__main__':
    sys.exit(main())
