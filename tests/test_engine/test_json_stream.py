"""JSON that is written entry by entry and is complete at any time."""

import json
import os
import signal
import subprocess
import sys

import pytest

from swin_dense.engine import json_stream
from swin_dense.engine.json_stream import JsonStream


def test_entries_come_and_stay(tmp_path):
    stream = JsonStream(tmp_path / 'out' / 'x.json')
    stream.publish()
    assert json.loads(stream.path.read_text()) == []
    stream.add([dict(a=1), float('nan')])
    stream.close()
    assert stream.path.read_text() == '[\n{"a": 1},\nnull\n]\n'
    assert [path.name for path in stream.path.parent.iterdir()] == ['x.json']
    assert stream.count == 2


def test_the_file_is_not_rewritten_for_each_entry(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(json_stream.time, 'monotonic', lambda: now[0])
    stream = JsonStream(tmp_path / 'x.json')
    write = stream._write

    def slow():
        write()
        now[0] += 2

    monkeypatch.setattr(stream, '_write', slow)
    written = 0
    for step in range(100):  # of a second each
        before = now[0]
        stream.add([step])
        stream.publish()
        written += now[0] > before
        now[0] += 1
    assert written == 3  # 2 of 42 s each
    stream.close()
    assert json.loads(stream.path.read_text()) == [*range(100)]


def test_head_and_tail(tmp_path):
    stream = JsonStream(tmp_path / 'x.json', '{"n": [', '], "m": 1}')
    stream.add([1, 2])
    stream.close()
    assert json.loads(stream.path.read_text()) == dict(n=[1, 2], m=1)


@pytest.mark.skipif(os.name == 'nt', reason='needs signals')
def test_a_kill_leaves_what_was_there(tmp_path):
    """After a kill at any moment, the file holds all but the last entries."""
    code = (
        'import sys\nfrom pathlib import Path\n'
        'from swin_dense.engine.json_stream import JsonStream\n'
        'stream = JsonStream(Path(sys.argv[1]))\n'
        'for i in range(10 ** 9):\n'
        '    stream.add([dict(number=i, text="x" * 1000)])\n'
        '    stream.publish()\n'
        '    print(i, flush=True)\n'
    )
    path = tmp_path / 'x.json'
    process = subprocess.Popen(
        [sys.executable, '-c', code, str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if int(line) == 200:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    result = json.loads(path.read_text())
    assert [entry['number'] for entry in result] == [*range(len(result))]
    assert result
