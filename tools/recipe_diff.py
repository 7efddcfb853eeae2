"""Run `swin-dense recipe-diff` from a checkout."""

import sys

from swin_dense.commands.recipe_diff import main

if __name__ == '__main__':
    sys.exit(main())
