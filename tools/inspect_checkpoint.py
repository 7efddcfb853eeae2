"""Run `swin-dense inspect` from a checkout."""

import sys

from swin_dense.commands.inspect_checkpoint import main

if __name__ == '__main__':
    sys.exit(main())
