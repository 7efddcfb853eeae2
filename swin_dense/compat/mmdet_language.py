"""Lets mmdet's models that read text run on today's transformers.

GLIP, Grounding DINO and MM-Grounding-DINO of mmdet 3.3 were written for
transformers 4. They use what version 5 has moved, removed or changed:

- `apply_chunking_to_forward`, now in `pytorch_utils`;
- `get_extended_attention_mask` of a model, removed;
- `batch_encode_plus` of a tokenizer, removed: a tokenizer is called;
- BERT's attention, whose arguments and results have changed;
- attention masks for pairs of tokens, which BERT now takes with an axis for
  its heads.

A transformers that has them is left as it is. Besides, the error for a BERT
that cannot be downloaded says where to put its files, and noun phrases
separated by dots need no nltk.

Remove this file once mmdet supports transformers 5.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from swin_dense.compat import mending
from swin_dense.compat.shim import Shim, is_importable, require_any

if TYPE_CHECKING:
    from torch import Tensor, nn

CHUNKING = 'apply_chunking_to_forward'


def install() -> None:
    """Mend mmdet's modules at the moment they are imported."""
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
    """Mend mmdet's BERT and its errors about files."""
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
    """Make every failed load by name say what to do."""
    yield
    for name in ('AutoTokenizer', 'BertConfig', 'HFBertModel'):
        wrapped = getattr(module, name, None)
        if wrapped is not None:
            setattr(module, name, LoadedByName(wrapped))


@contextmanager
def mend_noun_phrases(module: ModuleType) -> Iterator[None]:
    """Find noun phrases between dots where nltk is not installed."""
    yield
    module.find_noun_phrases = (  # type: ignore[attr-defined]
        _between_dots_or(module.find_noun_phrases)
    )


@contextmanager
def _moved(name: str, source: str, target: str) -> Iterator[None]:
    """Provide a function under its old name while a module is imported."""
    if not is_importable('transformers'):
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
    """Return the term that hides tokens when added to attention logits.

    Args:
        mask: 1 for a token to attend to, else 0, (B, T) or (B, T, T).

    Returns:
        (B, 1, 1, T) or (B, 1, T, T).
    """
    import torch

    dtype = next(self.parameters()).dtype
    if mask.dim() == 2:
        mask = mask[:, None, None]  # (B, 1, 1, T)
    else:
        mask = mask[:, None]  # (B, 1, T, T)
    return (1 - mask.to(dtype)) * torch.finfo(dtype).min


def attend(
    self: Any,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    head_mask: Tensor | None = None,
    **options: Any,
) -> tuple:
    """Attend, then project and add the residual, as in transformers 4."""
    outputs = self.self(hidden_states, attention_mask, head_mask, **options)
    return (self.output(outputs[0], hidden_states), *outputs[1:])


def _with_mask_for_heads(forward: Callable) -> Callable:
    """Wrap BERT's forward: masks of token pairs get an axis for heads."""

    def encode(self: Any, x: dict) -> dict:
        mask = x['attention_mask']
        if mask.dim() == 3:
            x = dict(x, attention_mask=extend_mask(self.model, mask))
        return dict(forward(self, x), masks=mask)

    return encode


class LoadedByName:
    """A class of transformers whose `from_pretrained` fails with advice."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Build an instance of the class."""
        return self.wrapped(*args, **kwargs)

    def from_pretrained(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Load from a folder, or by a name on Hugging Face's hub.

        Raises:
            OSError: If neither can be read.
        """
        try:
            return self.wrapped.from_pretrained(name, *args, **kwargs)
        except (OSError, ValueError) as error:
            raise OSError(
                f'the language model {name!r} could not be loaded as '
                f'{self.wrapped.__name__}: it is not a folder with a model, '
                'and it could not be downloaded. On a machine with access, '
                f'`hf download {name} --local-dir bert` fetches config.json, '
                'the vocabulary and the weights; then name that folder in the '
                'config: lang_model_name in its text, or `--cfg-options '
                'model.language_model.name=bert` (and '
                'model.bbox_head.lang_model_name=bert for GLIP). '
                f'The cause: {error}'
            ) from error


def _between_dots_or(find: Callable[[str], list[str]]) -> Callable:
    """Return a `find_noun_phrases` that needs nltk for sentences only."""

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
                f'no noun phrases can be found in {caption!r}: a sentence '
                'needs nltk (`pip install nltk`) and its data (`python -m '
                'nltk.downloader punkt punkt_tab averaged_perceptron_tagger '
                'averaged_perceptron_tagger_eng`). Class names need neither: '
                'separate them by dots, as in "person . traffic light"'
            ) from error

    return find_noun_phrases


def find_obstacle() -> str:
    """Return why no model of mmdet that reads text is mended here, or ''."""
    return require_any('mmdet')


SHIM = Shim(
    name='mmdet_language',
    reason='GLIP, Grounding DINO and MM-Grounding-DINO of mmdet 3.3 were '
    'written for transformers 4, and require nltk, which class names do not '
    'need.',
    removal='Install an mmdet that supports transformers 5.',
    symptom=r'apply_chunking_to_forward|get_extended_attention_mask|'
    r'batch_encode_plus|\bnltk\b',
    install=install,
    find_obstacle=find_obstacle,
)
