"""Text is drawn in a font that has its letters."""

from pathlib import Path

import numpy as np
import pytest

from swin_dense.visualization import text as module
from swin_dense.visualization.text import (
    choose_fonts,
    default_font,
    font,
    installed_fonts,
    put_text,
    text_size,
)


@pytest.fixture
def without_fonts(monkeypatch):
    """Hide all fonts but DejaVu Sans."""
    monkeypatch.setattr(module, 'installed_fonts', list)
    for cached in (choose_fonts, module._report_missing):
        cached.cache_clear()
    yield
    choose_fonts.cache_clear()


def drawn(text):
    image = np.zeros((30, 300, 3), np.uint8)
    put_text(image, text, (2, 2), 16, (255, 255, 255))
    return image


@pytest.mark.parametrize('text', ['car', 'Straße', 'кошка', 'سيارة', 'x ≤ ½'])
def test_letters_of_the_default_font(text):
    assert choose_fonts(text) == [(default_font(), text)]


def test_letters_of_another_installed_font():
    default_letters = module._letters(default_font())
    path, letter = next(
        (path, letter)
        for path in installed_fonts()
        for letter in sorted(module._letters(path) - default_letters)
        if letter.isprintable() and letter.isalpha()
    )
    text = f'{letter}'
    ((path, shown),) = choose_fonts(text)
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
    assert choose_fonts(text) == [(default_font(), spelled)]
    assert (drawn(text) == drawn(spelled)).all()
    assert text_size(text, 16) == text_size(spelled, 16)
    if 'U+' in spelled:
        choose_fonts(text + '!')
        assert logged.text.count('no installed font has the letters') == 1


def test_letters_of_no_font_are_transliterated(without_fonts, logged):
    pytest.importorskip('anyascii')
    assert choose_fonts('汽车 2') == [(default_font(), 'QiChe 2')]
    assert 'no installed font has the letters' in logged.text


def test_parts_of_a_text_in_fonts_of_their_own(monkeypatch):
    # Fonts for Chinese and for Thai, and none with the letters of both.
    fonts = {'DejaVuSansMono.ttf': '汽车 ', 'DejaVuSerif.ttf': 'รถ '}
    folder = Path(default_font()).parent
    letters = {str(folder / name): set(has) for name, has in fonts.items()}
    chinese, thai = letters
    letters[default_font()] = set(map(chr, range(32, 127)))
    monkeypatch.setattr(module, 'installed_fonts', lambda: [chinese, thai])
    monkeypatch.setattr(module, '_letters', letters.get)
    choose_fonts.cache_clear()
    try:
        assert choose_fonts('汽车') == [(chinese, '汽车')]
        parts = choose_fonts('car 汽车รถ Ω')
        assert parts == [
            (default_font(), 'car '),
            (chinese, '汽车'),
            (thai, 'รถ'),
            (default_font(), ' O'),
        ]
        width = sum(font(path, 16).getlength(part) for path, part in parts)
        assert text_size('car 汽车รถ Ω', 16)[0] == np.ceil(width)
        image = drawn('car 汽车รถ Ω')
        assert image[:, int(width) - 10 : int(width) + 4].any()
    finally:
        choose_fonts.cache_clear()


def test_fonts_are_searched_on_the_system(monkeypatch):
    found = ['/a/Noto-Bold.ttf', '/b/NotoSans.ttc', '/c/LastResort.otf']
    monkeypatch.setattr(module, 'findSystemFonts', lambda: found)
    installed_fonts.cache_clear()
    try:
        assert installed_fonts() == ['/b/NotoSans.ttc', '/a/Noto-Bold.ttf']
    finally:
        installed_fonts.cache_clear()
