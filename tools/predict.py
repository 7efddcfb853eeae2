"""Run `swin-dense predict` from a checkout."""

import sys

from swin_dense.commands.predict import main

if __name__ == '__main__':
    sys.exit(main())
