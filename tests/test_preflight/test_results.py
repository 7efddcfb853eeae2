"""Checks run in order, need one another, and are reported."""

import pytest

from swin_dense.preflight.results import (
    Check,
    CheckFailedError,
    CheckSkippedError,
    Finding,
    run_checks,
    to_json,
    verdict,
)


def passes(context):
    context.append('ran')
    return Finding('all is well', ['a line\nand another'], dict(count=2))


def fails(context):
    raise CheckFailedError('a box is wrong', ['image 3'], worst=0.2)


def raises(context):
    raise ValueError('no file\nlook there')


def breaks(context):
    raise ZeroDivisionError('division by zero')


def skips(context):
    raise CheckSkippedError('nothing to check')


def test_a_check_is_skipped_without_what_it_needs():
    context = []
    shown = []
    results = run_checks(
        [
            Check('data', fails),
            Check('model', passes, ('data',)),
            Check('picture', passes, ('absent',)),
        ],
        context,
        shown.append,
    )
    assert [result.status for result in results] == ['failed', 'skipped', 'ok']
    assert results[1].summary == 'needs data'
    assert context == ['ran'] and shown == results
    assert verdict(results) == '1 check failed: data'


@pytest.mark.parametrize(
    'run, status, summary, details',
    [
        (passes, 'ok', 'all is well', ['a line', 'and another']),
        (fails, 'failed', 'a box is wrong', ['image 3']),
        (raises, 'failed', 'no file', ['look there']),
        (
            breaks,
            'failed',
            'ZeroDivisionError: division by zero (--debug shows where)',
            [],
        ),
        (skips, 'skipped', 'nothing to check', []),
    ],
)
def test_every_outcome_is_reported(run, status, summary, details):
    (result,) = run_checks([Check('name', run)], [])
    assert (result.status, result.summary) == (status, summary)
    assert result.details == details and result.seconds >= 0
    first, *rest = result.text().splitlines()
    shown = status.upper() if status == 'failed' else status
    assert first.startswith(f'{shown:8}name') and first.endswith(summary)
    assert rest == [f'        {line}' for line in details]


def test_json_has_everything():
    results = run_checks([Check('a', passes), Check('b', fails)], [])
    content = to_json('mine.py', 'detection', results)
    assert content['passed'] is False and content['config'] == 'mine.py'
    assert content['checks'][0]['values'] == dict(count=2)
    assert content['checks'][1]['values'] == dict(worst=0.2)
    assert content['seconds'] == sum(r.seconds for r in results)


def test_skipped_checks_are_named():
    results = run_checks([Check('a', passes), Check('b', skips)], [])
    assert verdict(results) == '1 check passed; skipped: b'
    assert to_json('c', 't', results)['passed'] is True
