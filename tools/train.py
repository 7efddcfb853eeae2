"""Run `swin-dense train` from a checkout."""

import sys

from swin_dense.commands.train import main

if __name__ == '__main__':
    sys.exit(main())
