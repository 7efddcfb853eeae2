"""Run `swin-dense flops` from a checkout."""

import sys

from swin_dense.commands.flops import main

if __name__ == '__main__':
    sys.exit(main())
