"""Run `swin-dense analyze` from a checkout."""

import sys

from swin_dense.commands.analyze import main

if __name__ == '__main__':
    sys.exit(main())
