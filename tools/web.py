"""Run `swin-dense web` from a checkout."""

import sys

from swin_dense.commands.web import main

if __name__ == '__main__':
    sys.exit(main())
