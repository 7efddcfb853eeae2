import pytest

from swin_dense.limits import advice, limit


def test_the_default_holds_without_the_variable(monkeypatch):
    monkeypatch.delenv('SWIN_DENSE_MAX_X', raising=False)
    assert limit('MAX_X', 7) == 7
    monkeypatch.setenv('SWIN_DENSE_MAX_X', '0.5')
    assert limit('MAX_X', 7) == 0.5


@pytest.mark.parametrize('text', ['', 'many', '0', '-1', 'nan'])
def test_a_limit_is_a_positive_number(monkeypatch, text):
    monkeypatch.setenv('SWIN_DENSE_MAX_X', text)
    with pytest.raises(ValueError) as error:
        limit('MAX_X', 7)
    assert str(error.value) == (
        'the environment variable SWIN_DENSE_MAX_X must be a positive '
        f'number, got {text!r}'
    )


def test_advice_names_the_variable():
    assert advice('MAX_X').endswith('variable SWIN_DENSE_MAX_X')
