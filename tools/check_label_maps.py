"""Run `swin-dense check-label-maps` from a checkout."""

import sys

from swin_dense.commands.check_label_maps import main

if __name__ == '__main__':
    sys.exit(main())
