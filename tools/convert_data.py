"""Run `swin-dense convert-data` from a checkout."""

import sys

from swin_dense.commands.convert_data import main

if __name__ == '__main__':
    sys.exit(main())
