"""A pyramid of the family as plain functions of a state_dict."""

import torch
import torch.nn.functional as F


def below(state, prefix):
    """Return entries of a state_dict with a prefix, under names without it."""
    return {
        name[len(prefix) :]: value
        for name, value in state.items()
        if name.startswith(prefix)
    }


def norm(state, name, x):
    """Apply a layer norm over the channels."""
    weight, bias = state[f'{name}.weight'], state[f'{name}.bias']
    return F.layer_norm(x, weight.shape, weight, bias)


def linear(state, name, x):
    """Apply a linear layer, with its bias if there is one."""
    return F.linear(x, state[f'{name}.weight'], state.get(f'{name}.bias'))


def mlp(state, x):
    """Apply the feed-forward network of a block."""
    return linear(state, 'mlp.fc2', F.gelu(linear(state, 'mlp.fc1', x)))


def merge(state, x):
    """Apply patch merging of V1, with the neighbours in the official order."""
    x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
    x = [x[:, i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
    return linear(state, 'reduction', norm(state, 'norm', cat_channels(x)))


def cat_channels(maps):
    """Join maps `(B, H, W, C)` to one of all their channels."""
    return torch.cat(maps, -1)


def pyramid(state, image, depths, run_block):
    """Return the outputs of all stages, each after its norm, `(B, C, H, W)`.

    Args:
        state: State_dict under official names.
        image: Images `(B, 3, H, W)`, multiples of the patch.
        depths: Physical blocks of each stage.
        run_block: Called with the state_dict of a block, the map
            `(B, H, W, C)`, and the numbers of the stage and the block.
    """
    patch = below(state, 'patch_embed.')
    weight = patch['proj.weight']
    x = F.conv2d(image, weight, patch['proj.bias'], weight.shape[2:])
    x = norm(patch, 'norm', x.permute(0, 2, 3, 1))
    outputs = []
    for stage, depth in enumerate(depths):
        layer = below(state, f'layers.{stage}.')
        for number in range(depth):
            x = run_block(below(layer, f'blocks.{number}.'), x, stage, number)
        outputs.append(norm(state, f'norm{stage}', x).permute(0, 3, 1, 2))
        if stage < len(depths) - 1:
            x = merge(below(layer, 'downsample.'), x)
    return outputs
