"""Run `swin-dense resize` from a checkout."""

import sys

from swin_dense.commands.interpolate_position_bias import main

if __name__ == '__main__':
    sys.exit(main())
