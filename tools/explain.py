"""Run `swin-dense explain` from a checkout."""

import sys

from swin_dense.commands.explain import main

if __name__ == '__main__':
    sys.exit(main())
