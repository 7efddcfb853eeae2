"""Lets mmdet's models that read text run on today's transformers.

GLIP, Grounding DINO and MM-Grounding-DINO of mmdet 3.3 were written for
transformers 4. Of what version 5 has moved, removed or changed, they use:

- `apply_chunking_to_forward`, now in `pytorch_utils`;
- `get_extended_attention_mask` of a model, removed;
- `batch_encode_plus` of a tokenizer, removed: a tokenizer is called;
- BERT's attention, which passes other arguments on and unpacks two results;
- attention masks for pairs of tokens, which BERT now takes with an axis for
  its heads.

A transformers that has these is left as it is. Besides, a BERT that cannot be
downloaded ends in an error that says where to put it, and noun phrases
separated by dots need no nltk.

Remove this file once mmdet supports transformers 5.
"""

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from swin_dense.compat import mending

CHUNKING = 'apply_chunking_to_forward'


def install() -> None:
    """Mend mmdet's modules when they are imported, if they are."""
    mending.install(
        {
            'mmdet.models.utils.vlfuse_helper': mend_fusion,
            'mmdet.models.language_models.bert': mend_language_model,
            'mmdet.models.dense_heads.atss_vlfusion_head': mend_names,
            'mmdet.datasets.transforms.text_transformers': mend_names,
            'mmdet.models.detectors.glip': mend_noun_phrases,
        }
    )


@contextmanager
def mend_fusion(module: ModuleType) -> Iterator[None]:
    """Mend the layers that fuse image and text."""
    with _moved(
        CHUNKING, 'transformers.pytorch_utils', 'transformers.modeling_utils'
    ):
        yield
    layer = module.BertEncoderLayer
    if module.BertConfig is None:  # no transformers
        return
    if not hasattr(layer, 'get_extended_attention_mask'):
        layer.get_extended_attention_mask = extend_mask
    attention = module.BertAttention
    if 'head_mask' not in inspect.signature(attention.forward).parameters:
        attention.forward = attend


@contextmanager
def mend_language_model(module: ModuleType) -> Iterator[None]:
    """Mend mmdet's BERT and the way it reads its files."""
    with mend_names(module):
        yield
    if module.HFBertModel is None:  # no transformers
        return
    base = importlib.import_module('transformers').PreTrainedTokenizerBase
    if not hasattr(base, 'batch_encode_plus'):  # transformers 5
        base.batch_encode_plus = base.__call__
        module.BertEncoder.forward = _with_mask_for_heads(
            module.BertEncoder.forward
        )


@contextmanager
def mend_names(module: ModuleType) -> Iterator[None]:
    """Let every load by name say what to do where it fails."""
    yield
    for name in ('AutoTokenizer', 'BertConfig', 'HFBertModel'):
        loaded = getattr(module, name, None)
        if loaded is not None:
            setattr(module, name, LoadedByName(loaded))


@contextmanager
def mend_noun_phrases(module: ModuleType) -> Iterator[None]:
    """Look for phrases between dots where nltk cannot look for any."""
    yield
    module.find_noun_phrases = (  # type: ignore[attr-defined]
        _between_dots_or(module.find_noun_phrases)
    )


@contextmanager
def _moved(name: str, source: str, target: str) -> Iterator[None]:
    """Put a function where it used to be, while a module is imported."""
    if find_spec('transformers') is None:
        yield
        return
    old = importlib.import_module(target)
    if hasattr(old, name):
        yield
        return
    setattr(old, name, getattr(importlib.import_module(source), name))
    try:
        yield
    finally:
        delattr(old, name)


def extend_mask(
    self: nn.Module,
    mask: Tensor,
    shape: Any | None = None,
    device: Any | None = None,
) -> Tensor:
    """Return what is added to scores of attention: 0, or far below it.

    Args:
        mask: 1 for what is attended to, (B, T) or (B, T, T).

    Returns:
        (B, 1, 1, T) or (B, 1, T, T).
    """
    dtype = next(self.parameters()).dtype
    mask = mask[:, None, None] if mask.dim() == 2 else mask[:, None]
    return (1 - mask.to(dtype)) * torch.finfo(dtype).min


def attend(
    self: Any,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    head_mask: Tensor | None = None,
    **options: Any,
) -> tuple:
    """Attend, and project with the residual, as in transformers 4."""
    outputs = self.self(hidden_states, attention_mask, head_mask, **options)
    return (self.output(outputs[0], hidden_states), *outputs[1:])


def _with_mask_for_heads(forward: Callable) -> Callable:
    """Give BERT masks of pairs of tokens with an axis for its heads."""

    def encode(self: Any, x: dict) -> dict:
        mask = x['attention_mask']
        if mask.dim() == 3:
            x = dict(x, attention_mask=extend_mask(self.model, mask))
        return dict(forward(self, x), masks=mask)

    return encode


class LoadedByName:
    """A class of transformers whose `from_pretrained` fails with advice."""

    def __init__(self, loaded: Any) -> None:
        self.loaded = loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loaded, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Build the class itself."""
        return self.loaded(*args, **kwargs)

    def from_pretrained(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Load from a folder or by a name of Hugging Face's hub.

        Raises:
            OSError: If neither can be read. Says what to do.
        """
        try:
            return self.loaded.from_pretrained(name, *args, **kwargs)
        except (OSError, ValueError) as error:
            raise OSError(
                f'the language model {name!r} could not be loaded as '
                f'{self.loaded.__name__}: it is no folder with a model, and '
                'it could not be downloaded. On a machine with access, `hf '
                f'download {name} --local-dir bert` fetches config.json, the '
                'vocabulary and the weights; then name that folder in the '
                'config: lang_model_name in its text, or `--cfg-options '
                'model.language_model.name=bert` (and '
                'model.bbox_head.lang_model_name=bert for GLIP). '
                f'What went wrong: {error}'
            ) from error


def _between_dots_or(find: Callable[[str], list[str]]) -> Callable:
    """Return a `find_noun_phrases` that does without nltk where it can."""

    def find_noun_phrases(caption: str) -> list[str]:
        try:
            return find(caption)
        except (RuntimeError, LookupError) as error:
            phrases = [part.strip() for part in caption.lower().split('.')]
            phrases = [phrase for phrase in phrases if phrase]
            if (
                '.' in caption.strip().rstrip('.')
                or len(phrases) == 1
                and ' ' not in phrases[0]
            ):
                return phrases
            raise RuntimeError(
                f'no noun phrases can be found in {caption!r}: that needs '
                'nltk (`pip install nltk`) and its data (`python -m '
                'nltk.downloader punkt punkt_tab averaged_perceptron_tagger '
                'averaged_perceptron_tagger_eng`). Names of classes need '
                'neither: separate them by dots, as in "person . traffic '
                'light"'
            ) from error

    return find_noun_phrases
