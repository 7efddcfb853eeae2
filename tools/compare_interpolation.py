"""Run `swin-dense compare-interpolation` from a checkout."""

import sys

from swin_dense.commands.compare_interpolation import main

if __name__ == '__main__':
    sys.exit(main())
