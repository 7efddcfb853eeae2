"""Settings as text, and back."""

from mmengine.config import Config

from swin_dense.engine.config_text import Code, as_code, assignments


def test_values_are_read_back(tmp_path):
    settings = dict(
        names=['a "b"', "it's", 'ü'],
        one=(1,),
        none=None,
        nested=dict(yes=True, half=0.5, empty={}, keys={'a b': 1, 'c.d': 2}),
        long=dict(numbers=list(range(40)), path='x' * 70),
    )
    text = assignments({**settings, 'again': Code("dict(nested, yes='no')")})
    (tmp_path / 'config.py').write_text(text, 'utf-8')
    read = Config.fromfile(str(tmp_path / 'config.py')).to_dict()
    assert read.pop('again') == {**settings['nested'], 'yes': 'no'}
    assert read == settings
    assert max(map(len, text.splitlines())) <= 79


def test_code_stands_as_it_is():
    assert (
        as_code({'a': Code('b[0]'), 'c': 'b[0]'}) == "dict(a=b[0], c='b[0]')"
    )
