"""Run `swin-dense convert` from a checkout."""

import sys

from swin_dense.commands.convert_checkpoint import main

if __name__ == '__main__':
    sys.exit(main())
