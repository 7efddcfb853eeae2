"""Run `swin-dense export` from a checkout."""

import sys

from swin_dense.commands.export import main

if __name__ == '__main__':
    sys.exit(main())
