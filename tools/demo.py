"""Run `swin-dense demo` from a checkout."""

import sys

from swin_dense.commands.demo import main

if __name__ == '__main__':
    sys.exit(main())
