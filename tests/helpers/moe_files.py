"""Checkpoints of a narrow Swin-MoE, as the official code writes them."""

import io
import zipfile

import torch

from helpers.models import official_classifier, randomize
from swin_dense.backbones import SwinMoE
from swin_dense.ops import log_coordinates

SIZES = dict(embed_dims=8, depths=(1, 2, 2), num_heads=(1, 2, 2))
STEM = 'swin_moe_small_patch4_window12_192_8expert_4gpu_22k'


def make(experts=4, **kwargs):
    """Build a backbone with random weights; frozen biases stay 0."""
    model = randomize(
        SwinMoE(SIZES, num_experts=experts, window_size=3, **kwargs)
    ).eval()
    for value in model.parameters():
        if not value.requires_grad:
            value.data.zero_()
    return model


def classifier(model, buffers=True):
    """Return the state_dict of an official classifier with this backbone."""
    weights = official_classifier(model)
    if buffers:
        for name in list(weights):
            if name.endswith('.cpb_mlp.0.weight'):
                path = name.rsplit('.', 3)[0]
                # The map of the last stage was smaller than the window.
                side = 2 if 'layers.2' in name else 3
                weights[f'{path}.relative_coords_table'] = log_coordinates(
                    (side, side), (side, side)
                ).view(1, 2 * side - 1, 2 * side - 1, 2)
    return weights


def split(weights, ranks, legacy=True):
    """Return the content of the file of each process, and of the master.

    Args:
        weights: State_dict of the classifier.
        ranks: Number of processes.
        legacy: If true, biases have the shapes of older versions of Tutel.
    """
    parts = [{} for _ in range(ranks)]
    master = {}
    for name, value in weights.items():
        if '.experts.' not in name:
            master[name] = value
            continue
        if name.endswith('fc2_bias'):
            master[name] = value[:1]
            if legacy:
                master[name] = value[:1, None]
            continue
        experts = len(value)
        pieces = (
            value.chunk(ranks)
            if ranks <= experts
            else [
                piece
                for expert in value.split(1)
                for piece in expert.chunk(ranks // experts, 1)
            ]
        )
        for part, piece in zip(parts, pieces):
            if legacy and name.endswith('_bias'):
                piece = piece[:, None]
            part[name] = piece.clone()
    return parts, master


def contents(weights, ranks, legacy=True, stem=STEM):
    """Return the names and bytes of all files."""
    parts, master = split(weights, ranks, legacy)
    files = {
        f'{stem}/{stem}.pth.rank{rank}': dict(model=part)
        for rank, part in enumerate(parts)
    }
    files[f'{stem}/{stem}.pth.master'] = dict(model=master, epoch=89)
    return {name: to_bytes(content) for name, content in files.items()}


def to_bytes(content):
    """Return the bytes that torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def write_zip(path, files, compression=zipfile.ZIP_DEFLATED):
    """Write an archive of files, with an entry for their folder."""
    with zipfile.ZipFile(path, 'w', compression) as archive:
        folder = next(iter(files)).rpartition('/')[0]
        if folder:
            archive.writestr(f'{folder}/', b'')
        for name, content in files.items():
            archive.writestr(name, content)
    return path
