"""Write a BERT of one layer with a few words, to avoid a download."""

from pathlib import Path

import torch

WORDS = ['person', 'dog', 'cat', 'traffic', 'light']


def make_bert(folder: Path) -> str:
    """Write model and tokenizer in Hugging Face's format; return the folder.

    Features have the 768 channels that GLIP expects.
    """
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '.', '?', *WORDS]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'vocab.txt').write_text('\n'.join(words))
    BertTokenizer(str(folder / 'vocab.txt')).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), num_hidden_layers=1, intermediate_size=64
    )
    BertModel(config).save_pretrained(folder)
    return str(folder)
