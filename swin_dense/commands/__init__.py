"""The commands of `swin-dense`, a module each.

Nothing is imported for the list of commands: `swin-dense --help` answers at
once, and a command imports what it needs.
"""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from swin_dense.version import __version__

# Command: its module in this folder, and the first line of its help.
COMMANDS = {
    'train': ('train', 'Train the model of a config.'),
    'test': ('test', 'Evaluate a checkpoint on the test split of a config.'),
    'predict': (
        'predict',
        'Predict on images or videos, whichever the model takes.',
    ),
    'extract-features': (
        'extract_features',
        'Write the feature maps of videos, with their times, as .npz files.',
    ),
    'demo': (
        'demo',
        'Generate data, train a small Swin model, evaluate and draw it.',
    ),
    'check-label-maps': (
        'check_label_maps',
        'Show what label maps hold, and list errors in them.',
    ),
    'check-videos': (
        'check_videos',
        'Try to read all clips of a list, and say which cannot be trained on.',
    ),
    'inspect': (
        'inspect_checkpoint',
        'Show what a checkpoint is: source, arch, window, classes, hash.',
    ),
    'convert': (
        'convert_checkpoint',
        'Rename the weights of a checkpoint for another implementation.',
    ),
    'resize': (
        'interpolate_position_bias',
        'Transfer a checkpoint to another window, and show what that did.',
    ),
    'flops': (
        'flops',
        "Count the parameters and FLOPs of a config's model, part by part.",
    ),
    'benchmark': (
        'benchmark',
        "Measure time and memory of a backbone or model, beside its host's.",
    ),
}


def format_help() -> str:
    """Return the list of commands."""
    width = max(map(len, COMMANDS))
    lines = [
        f'  {name:{width}}  {summary}'
        for name, (_, summary) in COMMANDS.items()
    ]
    return '\n'.join(
        [
            'usage: swin-dense COMMAND ...',
            '',
            'Dense prediction with the Swin Transformer family.',
            '',
            *lines,
            '',
            '`swin-dense COMMAND --help` shows the options of a command and '
            'an example.',
            'A config is a file, or the name of a recipe such as '
            'cascade_swin_b_coco.',
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Name of the command and its arguments; by default those of the
            process.

    Returns:
        The exit status: 2 if there is no such command, else the command's.
    """
    name, *arguments = [*(sys.argv[1:] if argv is None else argv)] or ['']
    if name in ('-h', '--help'):
        print(format_help())
        return 0
    if name in ('-V', '--version'):
        print(f'swin_dense {__version__}')
        return 0
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        hint = f'; did you mean {close[0]}?' if close else ''
        problem = f'there is no command {name!r}' if name else 'no command'
        print(
            f'{format_help()}\n\nswin-dense: error: {problem}{hint}',
            file=sys.stderr,
        )
        return 2
    module = import_module(f'{__name__}.{COMMANDS[name][0]}')
    # The name of the program in help and messages.
    sys.argv = [f'swin-dense {name}', *arguments]
    return module.main(arguments)
