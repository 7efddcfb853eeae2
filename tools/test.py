"""Run `swin-dense test` from a checkout."""

import sys

from swin_dense.commands.test import main

if __name__ == '__main__':
    sys.exit(main())
