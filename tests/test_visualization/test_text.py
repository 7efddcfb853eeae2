"""Text is drawn in a font that has its letters."""

import numpy as np
import pytest

from swin_dense.visualization import text as module
from swin_dense.visualization.text import (
    choose_font,
    default_font,
    installed_fonts,
    put_text,
    text_size,
)


@pytest.fixture
def without_fonts(monkeypatch):
    """Hide all fonts but DejaVu Sans."""
    monkeypatch.setattr(module, 'installed_fonts', list)
    for cached in (choose_font, module._report_missing):
        cached.cache_clear()
    yield
    choose_font.cache_clear()


def drawn(text):
    image = np.zeros((30, 300, 3), np.uint8)
    put_text(image, text, (2, 2), 16, (255, 255, 255))
    return image


@pytest.mark.parametrize('text', ['car', 'Straße', 'кошка', 'سيارة', 'x ≤ ½'])
def test_letters_of_the_default_font(text):
    assert choose_font(text) == (default_font(), text)


def test_letters_of_another_installed_font():
    default_letters = module._letters(default_font())
    path, letter = next(
        (path, letter)
        for path in installed_fonts()
        for letter in sorted(module._letters(path) - default_letters)
        if letter.isprintable() and letter.isalpha()
    )
    text = f'{letter}'
    path, shown = choose_font(text)
    assert shown == text and letter in module._letters(path)
    assert drawn(text).any()


@pytest.mark.parametrize(
    'text, spelled',
    [
        ('汽车 1', 'U+6C7D U+8F66  1'),
        ('a\tb', 'aU+0009 b'),
        ('a\u3000b', 'a b'),
    ],
)
def test_letters_of_no_font(without_fonts, logged, monkeypatch, text, spelled):
    monkeypatch.setattr(module, 'transliterate', lambda letter: '')
    assert choose_font(text) == (default_font(), spelled)
    assert (drawn(text) == drawn(spelled)).all()
    assert text_size(text, 16) == text_size(spelled, 16)
    if 'U+' in spelled:
        choose_font(text + '!')
        assert logged.text.count('no installed font has the letters') == 1


def test_letters_of_no_font_are_transliterated(without_fonts, logged):
    pytest.importorskip('anyascii')
    assert choose_font('汽车 2') == (default_font(), 'QiChe 2')
    assert 'no installed font has the letters' in logged.text
