"""Names are translated by the numbers of stages and by prefixes."""

import pytest

from swin_dense.checkpoints.layouts.layout import Layout

LAYOUT = Layout(
    block='features.{}.{}.',
    merging='features.{}.',
    block_stage=(2, 1),
    merging_stage=(2, 2),
    renames=(('patch_embed.', 'features.0.'),),
    block_renames=(('mlp.fc1.', 'mlp.0.'), ('mlp.fc1.', 'mlp.first.')),
)


@pytest.mark.parametrize(
    'native, source',
    [
        ('patch_embed.proj.weight', 'features.0.proj.weight'),
        ('layers.2.blocks.11.mlp.fc1.bias', 'features.5.11.mlp.0.bias'),
        ('layers.0.blocks.0.norm1.bias', 'features.1.0.norm1.bias'),
        ('layers.1.downsample.norm.bias', 'features.4.norm.bias'),
        ('head.weight', 'head.weight'),
    ],
)
def test_both_directions(native, source):
    assert LAYOUT.from_native(native) == source
    assert LAYOUT.to_native(source) == native


def test_a_second_name_is_read_and_not_written():
    native = 'layers.0.blocks.0.mlp.fc1.bias'
    assert LAYOUT.to_native('features.1.0.mlp.first.bias') == native
    assert LAYOUT.from_native(native) == 'features.1.0.mlp.0.bias'
