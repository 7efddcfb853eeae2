"""Write the table of all recipes: parameters, FLOPs, published results.

With --metafile, write the index of the configs instead, configs/metafile.yml,
which OpenMMLab's tools read.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from swin_dense.analysis.flops import count_flops, published_shape
from swin_dense.config_files import config_folder, config_names
from swin_dense.engine import cli
from swin_dense.engine.launch import load_config

HEAD = """# Model zoo

How to read the table: one FLOP is one multiply-accumulate, counted on one
image of the size given, height before width, or on one clip, frames first
([what is counted](notes/flops.md)). Results are on the validation set, as the
papers or the authors of the official code published them for the recipe; none
was measured here. No weights of our own are published.

<!-- python tools/model_zoo.py --out docs/model_zoo.md -->
| config | parameters (M) | FLOPs (G) | input | published |
| --- | --: | --: | --- | --- |
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(__doc__, 'python tools/model_zoo.py')
    parser.add_argument(
        'names', nargs='*', help='configs by name (default: all recipes)'
    )
    parser.add_argument(
        '--out', metavar='FILE.md', help='write the page instead of printing'
    )
    parser.add_argument(
        '--metafile',
        metavar='FILE.yml',
        help='write the index of all configs to this file, and no table',
    )
    cli.add_debug_argument(parser)
    return parser


def recipes() -> list[str]:
    """Return the names of all recipes for published data sets."""
    return [name for name in config_names() if '_nano_' not in name]


def row(name: str) -> str:
    """Return the line of the table for a recipe."""
    config = load_config(config_folder() / f'{name}.py')
    init_default_scope(config.default_scope)
    with torch.device('meta'):
        model = MODELS.build(_without_weights(config))
    complexity = count_flops(model, published_shape(config))
    return (
        f'| [`{name}`](../configs/{name}.py) '
        f'| {complexity.params / 1e6:.1f} | {complexity.flops / 1e9:.0f} '
        f'| {"×".join(map(str, complexity.shape))} '
        f'| {config.recipe.published or "–"} |'
    )


def _without_weights(config: Config) -> Config:
    config.model.backbone.init_cfg = None
    return config.model


def metafile() -> str:
    """Return the index of all configs in the format of OpenMMLab, as YAML."""
    models = []
    for name in config_names():
        recipe = load_config(config_folder() / f'{name}.py').recipe
        results = {'Published Results': recipe.published}
        models.append(
            {
                'Name': name,
                'Config': f'configs/{name}.py',
                'Paper': {'Title': recipe.paper},
                'Metadata': {
                    'Training Resources': recipe.hardware,
                    **(results if recipe.published else {}),
                },
            }
        )
    return yaml.safe_dump({'Models': models}, sort_keys=False)


def zoo(args: argparse.Namespace) -> int:
    """Write the index; or count all recipes and write the page."""
    if args.metafile:
        cli.write_bytes(Path(args.metafile), metafile().encode())
        return 0
    lines = []
    for name in args.names or recipes():
        lines.append(row(name))
        print(lines[-1], flush=True)
    if args.out:
        cli.write_bytes(
            Path(args.out), (HEAD + '\n'.join(lines) + '\n').encode()
        )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    return cli.run(zoo, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
