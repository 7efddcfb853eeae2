"""The commands of `swin-dense`, one module for each.

`swin-dense --help` imports no module of a command, so it answers at once.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from swin_dense.version import __version__
from swin_dense.wording import did_you_mean

# Group: command: its module in this folder, and the first line of its help.
GROUPS = {
    'train and use a model': {
        'train': (
            'train',
            'Train the model of a config, or a recipe on your own data.',
        ),
        'test': (
            'test',
            'Evaluate a checkpoint on the test split of a config.',
        ),
        'analyze': (
            'analyze',
            'Analyse the errors of a model: by class, by kind, as pictures.',
        ),
        'predict': ('predict', 'Predict on images or videos.'),
        'plan': (
            'plan',
            'Say whether the training of a config fits into memory, and what '
            'would fit.',
        ),
        'explain': (
            'explain',
            'Show what a model looks at: class activation, or attention of a '
            'block.',
        ),
        'web': (
            'web',
            'Open a page in the browser that shows what a model predicts.',
        ),
        'extract-features': (
            'extract_features',
            'Write the feature maps of videos, with their times, as .npz '
            'files.',
        ),
        'demo': (
            'demo',
            'Generate data, train a small Swin model, evaluate and draw it.',
        ),
    },
    'check and convert data': {
        'check': (
            'check',
            'Check data, evaluation, weights and model of a config.',
        ),
        'browse': (
            'browse',
            'Draw samples of a data set as the model gets them.',
        ),
        'check-label-maps': (
            'check_label_maps',
            'Show the labels in label maps, and list errors.',
        ),
        'check-videos': (
            'check_videos',
            'Read all clips of a list, and list those that cannot be used.',
        ),
        'convert-data': (
            'convert_data',
            'Convert annotations of YOLO, Pascal VOC, labelme or CSV to '
            "COCO's JSON.",
        ),
    },
    'work with checkpoints': {
        'inspect': (
            'inspect_checkpoint',
            'Show source, arch, window, classes and hash of a checkpoint.',
        ),
        'convert': (
            'convert_checkpoint',
            'Rename the weights of a checkpoint for another implementation.',
        ),
        'resize': (
            'interpolate_position_bias',
            'Resize the position biases of a checkpoint to another window.',
        ),
        'export': (
            'export',
            'Export a model for other programs: ONNX, or a .pt2 file of '
            'torch.export.',
        ),
        'compare-interpolation': (
            'compare_interpolation',
            'Compare methods to resize position biases on generated surfaces.',
        ),
    },
    'measure and maintain': {
        'flops': (
            'flops',
            "Count the parameters and FLOPs of a config's model, part by "
            'part.',
        ),
        'recipe-diff': (
            'recipe_diff',
            'Show what differs between two trainings, the likeliest cause '
            'first.',
        ),
        'benchmark': (
            'benchmark',
            'Measure time and memory of a backbone or model, beside another '
            "package's.",
        ),
        'gpu-check': (
            'gpu_check',
            'Check the results of all kernels on a GPU, and measure them.',
        ),
        'model-zoo': (
            'model_zoo',
            'Write a table of all recipes: parameters, FLOPs, results.',
        ),
        'fuzz': (
            'fuzz',
            'Damage small files at random, and check that each is read or '
            'refused.',
        ),
    },
}
COMMANDS = {
    name: entry for group in GROUPS.values() for name, entry in group.items()
}


def format_help() -> str:
    """Return the list of commands."""
    width = max(map(len, COMMANDS))
    lines = []
    for title, group in GROUPS.items():
        lines += ['', f'{title}:']
        lines += [
            f'  {name:{width}}  {summary}'
            for name, (_, summary) in group.items()
        ]
    return '\n'.join(
        [
            'usage: swin-dense COMMAND ...',
            '',
            'Dense prediction with the Swin Transformer family.',
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
        The exit status of the command; 2 if there is no such command, 1 if a
        package that it needs is not installed, 130 after Ctrl-C.
    """
    name, *arguments = [*(sys.argv[1:] if argv is None else argv)] or ['']
    if name in ('-h', '--help'):
        print(format_help())
        return 0
    if name in ('-V', '--version'):
        print(f'swin_dense {__version__}')
        return 0
    if name not in COMMANDS:
        close = did_you_mean(name, COMMANDS)
        hint = f'; did you mean {close}?' if close else ''
        problem = f'there is no command {name!r}' if name else 'no command'
        print(
            f'{format_help()}\n\nswin-dense: error: {problem}{hint}',
            file=sys.stderr,
        )
        return 2
    # The name of the program in help and messages.
    sys.argv = [f'swin-dense {name}', *arguments]
    try:
        module = import_module(f'{__name__}.{COMMANDS[name][0]}')
    except ModuleNotFoundError as error:
        print(
            f'swin-dense {name}: error: {error}; this command needs it: pip '
            "install 'swin_dense[all]', or only its extra (det, seg, video)",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(f'swin-dense {name}: interrupted', file=sys.stderr)
        return 130
    return module.main(arguments)
