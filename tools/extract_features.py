"""Run `swin-dense extract-features` from a checkout."""

import sys

from swin_dense.commands.extract_features import main

if __name__ == '__main__':
    sys.exit(main())
