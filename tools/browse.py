"""Run `swin-dense browse` from a checkout."""

import sys

from swin_dense.commands.browse import main

if __name__ == '__main__':
    sys.exit(main())
