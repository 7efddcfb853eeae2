"""Run `swin-dense model-zoo` from a checkout."""

import sys

from swin_dense.commands.model_zoo import main

if __name__ == '__main__':
    sys.exit(main())
