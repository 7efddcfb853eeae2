import pytest

from swin_dense.wording import did_you_mean, first_few, suggest_name


@pytest.mark.parametrize(
    'count, text',
    [(0, ''), (1, '0'), (3, '0, 1, 2'), (4, '0, 1, 2 and 1 more')],
)
def test_first_few_shows_a_limited_number(count, text):
    assert first_few(range(count), 3) == text


def test_first_few_takes_another_separator():
    assert first_few('abcdefg', separator='; ') == 'a; b; c; d; e and 2 more'


@pytest.mark.parametrize(
    'name, closest',
    [('windw_size', 'window_size'), (' ARCH', 'arch'), ('momentum', None)],
)
def test_did_you_mean_finds_the_closest_name(name, closest):
    assert did_you_mean(name, ['arch', 'window_size']) == closest


def test_did_you_mean_can_ask_for_more_similarity():
    assert did_you_mean('window', ['window_size']) == 'window_size'
    assert did_you_mean('window', ['window_size'], cutoff=0.85) is None


def test_a_close_name_is_suggested_or_all_are_listed():
    assert suggest_name('Epoch', ['epochs', 'seed']) == 'did you mean epochs?'
    assert suggest_name('x', ['seed', 'epochs']) == 'there are: epochs, seed'
    names = [f'name_{number:02}' for number in range(23)]
    assert suggest_name('x', names).endswith('name_19 and 3 more')
