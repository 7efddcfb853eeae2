"""The figures of docs/notes/position_bias.md."""

from pathlib import Path

from swin_dense.commands import compare_interpolation

ROOT = Path(__file__).resolve().parents[2]


def test_the_notes_have_what_the_tool_prints(capsys):
    assert compare_interpolation.main([]) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 14
    assert printed in (ROOT / 'docs/notes/position_bias.md').read_text()


def test_what_the_notes_conclude():
    for name in compare_interpolation.SURFACES:
        bicubic, geometric = (
            compare_interpolation.errors(name, method, 7, 12)
            for method in ('bicubic', 'geometric')
        )
        assert bicubic[0] < geometric[0] / 2
        assert geometric[1] < bicubic[1]
        assert geometric[2] < 1e-9 < bicubic[2]
        cut = compare_interpolation.errors(name, 'geometric', 12, 7)
        assert max(cut[1:]) < 1e-9
        for method in ('bicubic', 'geometric'):
            same = compare_interpolation.errors(name, method, 7, 7)
            assert same == (0, 0, 0)
