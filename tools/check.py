"""Run `swin-dense check` from a checkout."""

import sys

from swin_dense.commands.check import main

if __name__ == '__main__':
    sys.exit(main())
