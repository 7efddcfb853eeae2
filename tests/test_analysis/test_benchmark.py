"""The table of a benchmark."""

from swin_dense.analysis.benchmark import Measurement, format_rows


def test_table():
    rows = [
        Measurement('forward, time', 1.5, 2.0),
        Measurement('forward, peak memory', 3 * 2**20, None),
    ]
    assert format_rows(rows).splitlines()[2:] == [
        '| forward, time | 1500.0 ms | 2000.0 ms | 0.75 |',
        '| forward, peak memory | 3 MiB | - | - |',
    ]
