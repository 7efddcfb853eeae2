"""The notebooks of the documentation run from the first cell to the last."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / 'docs' / 'notebooks'
# Parameters of a short run, by name.
SMALL = dict(IMAGES=8, CLIPS=16, EPOCHS=1, ITERATIONS=2)


def cells(name):
    """Return the code of a notebook, cell by cell."""
    notebook = json.loads((NOTEBOOKS / f'{name}.ipynb').read_text('utf-8'))
    assert notebook['nbformat'] == 4
    return [
        ''.join(cell['source'])
        for cell in notebook['cells']
        if cell['cell_type'] == 'code'
    ]


def run_command(line, names):
    """Run a line of a shell, with Python values in its braces."""
    line = re.sub(r'\{(.+?)\}', lambda name: str(eval(name[1], names)), line)
    line = line.replace('swin-dense', f'{sys.executable} -m swin_dense')
    paths = [str(NOTEBOOKS.parents[1]), os.environ.get('PYTHONPATH', '')]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(paths)}
    done = subprocess.run(
        line.split(), env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f'{line}\n{done.stdout}\n{done.stderr}'


@pytest.mark.parametrize('name', [path.stem for path in NOTEBOOKS.glob('*')])
def test_a_notebook_has_parameters_and_no_outputs(name):
    notebook = json.loads((NOTEBOOKS / f'{name}.ipynb').read_text('utf-8'))
    code = [cell for cell in notebook['cells'] if 'outputs' in cell]
    assert all(not cell['outputs'] for cell in code)
    parameters = cells(name)[0].partition(' = ')[0].split(', ')
    assert set(parameters) <= set(SMALL)
    for cell in cells(name):
        if not cell.startswith('!'):
            compile(cell, name, 'exec')


@pytest.mark.slow
@pytest.mark.parametrize(
    'name, made',
    [
        ('detection', ['out/detector/first.jpg', 'out/pictures']),
        ('segmentation', ['out/segmentor/first.png', 'out/labels']),
        ('video', ['out/recognizer/metrics.json', 'out/clips']),
    ],
)
def test_a_notebook_runs(name, made, tmp_path, monkeypatch):
    """All cells run, with few images and iterations."""
    monkeypatch.chdir(tmp_path)
    names = {}
    for index, cell in enumerate(cells(name)):
        if cell.startswith('!'):
            run_command(cell[1:], names)
        else:
            exec(cell, names)
        if index == 0:
            names |= {key: SMALL[key] for key in names if key in SMALL}
    for path in made:
        assert Path(path).exists(), path
