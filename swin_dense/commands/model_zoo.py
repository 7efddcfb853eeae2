"""Write a table of all recipes: parameters, FLOPs, results.

The table is docs/model_zoo.md. With --metafile, the index of all configs is
written instead, configs/metafile.yml, which OpenMMLab's tools read.
"""

import argparse
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
image of this size, height before width, or on one clip, frames first
([what is counted](notes/flops.md)). Results are on the validation set, as the
papers or the authors of the official code published them for the recipe; none
was measured here. We publish no weights.

<!-- swin-dense model-zoo --out docs/model_zoo.md -->
| config | parameters (M) | FLOPs (G) | input | published |
| --- | --: | --: | --- | --- |
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__, 'swin-dense model-zoo --out docs/model_zoo.md'
    )
    parser.add_argument(
        'names',
        nargs='*',
        metavar='NAME',
        help='name of a recipe (default: all recipes)',
    )
    parser.add_argument(
        '--out', metavar='FILE.md', help='also write the table as a page'
    )
    parser.add_argument(
        '--metafile',
        metavar='FILE.yml',
        help='write the index of all configs, and no table',
    )
    cli.add_debug_argument(parser)
    return parser


def recipes() -> list[str]:
    """Return the names of all recipes for published data sets."""
    return [name for name in config_names() if '_nano_' not in name]


def row(name: str) -> str:
    """Return the row of a recipe in the table."""
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
    """Return the model of a config that loads no pretrained weights."""
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
    """Print and write the table, or write the index."""
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
    """Parse the command line and run the command; return its status."""
    return cli.run(zoo, make_parser().parse_args(argv))
