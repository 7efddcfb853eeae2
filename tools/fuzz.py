"""Run `swin-dense fuzz` from a checkout."""

import sys

from swin_dense.commands.fuzz import main

if __name__ == '__main__':
    sys.exit(main())
