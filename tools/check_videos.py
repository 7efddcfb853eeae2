"""Run `swin-dense check-videos` from a checkout."""

import sys

from swin_dense.commands.check_videos import main

if __name__ == '__main__':
    sys.exit(main())
