"""Run `swin-dense plan` from a checkout."""

import sys

from swin_dense.commands.plan import main

if __name__ == '__main__':
    sys.exit(main())
