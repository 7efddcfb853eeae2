"""Names of the members of the family, from shapes alone."""
import pytest
import torch
from samples import native

from swin_dense.checkpoints.variants import describe


def shapes(width, depths, heads, patch=(3, 4, 4), window=7):
    """A backbone without storage."""
    empty = {'patch_embed.proj.weight': (width, *patch)}
    for stage, depth in enumerate(depths):
        for block in range(depth):
            path = f'layers.{stage}.blocks.{block}'
            empty[f'{path}.norm1.weight'] = (width * 2**stage, )
            empty[f'{path}.attn.relative_position_bias_table'] = ((2 * window -
                                                                   1)**2,
                                                                  heads[stage])
    return {
        name: torch.empty(shape, device='meta')
        for name, shape in empty.items()
    }


@pytest.mark.parametrize('width, depths, heads, name', [
    (96, (2, 2, 6, 2), (3, 6, 12, 24), 'Swin-T'),
    (96, (2, 2, 18, 2), (3, 6, 12, 24), 'Swin-S'),
    (128, (2, 2, 18, 2), (4, 8, 16, 32), 'Swin-B'),
    (192, (2, 2, 18, 2), (6, 12, 24, 48), 'Swin-L'),
])
def test_published_sizes(width, depths, heads, name):
    dashed = ['-'.join(map(str, numbers)) for numbers in (depths, heads)]
    assert describe(shapes(width, depths, heads, window=12)) == (
        f'{name} (embed_dims {width}, depths {dashed[0]}, heads {dashed[1]}, '
        'window 12)')


def test_other_members():
    sizes = (96, (2, 2, 6, 2), (3, 6, 12, 24))
    video = shapes(*sizes, patch=(3, 2, 4, 4))
    assert describe(video).startswith('Video Swin-T (')
    v2 = {
        **shapes(*sizes), 'layers.0.blocks.0.attn.cpb_mlp.0.weight':
        torch.empty(0)
    }
    assert describe(v2).startswith('Swin V2-T (')
    assert describe(native()).startswith('a Swin of no published size (')
    assert describe({'conv1.weight': torch.empty(0)}) is None
