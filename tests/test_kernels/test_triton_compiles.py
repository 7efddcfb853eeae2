"""Triton's programs compile for GPUs that are not there, and fit them."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('triton') is None, reason='Triton is absent'
)
SCRIPT = Path(__file__).parents[1] / 'helpers' / 'compile_programs.py'
# Bytes of shared memory of a program.
LIMIT = {80: 163 * 2**10, 90: 227 * 2**10}
# Compute capability, window, type, whether by cosines, program; and the most
# bytes that a thread spills.
QUICK = {
    '90,7x7,bf16,0,forward': 0,
    '90,7x7,bf16,0,backward': 96,
    '80,8x8,fp16,1,backward': 128,
    '90,12x12,bf16,0,backward': 32,
    '90,16x16,bf16,1,keys': 32,
}
SLOW = {
    '80,7x7,bf16,0,forward': 0,
    '80,7x7,bf16,0,backward': 320,
    '90,7x7,fp32,0,backward': 1000,
    '90,8x8,bf16,1,forward': 0,
    '80,12x12,bf16,0,backward': 32,
    '80,12x12,bf16,0,keys': 64,
    '90,16x16,bf16,0,forward': 0,
    '90,16x16,bf16,1,backward': 128,
    '90,16x16,fp32,1,keys': 320,
    '90,8x7x7,bf16,0,forward': 64,
    '90,8x7x7,bf16,0,backward': 400,
    '80,8x7x7,bf16,0,keys': 480,
    # The set leaves windows so large to PyTorch.
    '90,24x24,bf16,1,forward': 64,
    '90,24x24,bf16,1,keys': 128,
}


def check(cases):
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', str(SCRIPT), *cases],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result['case'] for result in results] == list(cases)
    for result in results:
        sm = int(result['case'].split(',')[0])
        assert result['spills'] <= cases[result['case']], result
        assert result['registers'] <= 255, result
        # What the set expects before it launches anything.
        assert result['shared'] <= result['estimate'] <= LIMIT[sm], result


def test_programs_fit_a_gpu():
    check(QUICK)


@pytest.mark.slow
def test_all_programs_fit_a_gpu():
    check(SLOW)


def test_sizes_that_do_not_fit_are_known():
    from swin_dense.kernels.triton.operator import choose_num_stages

    device = torch.device('cpu')  # stands for an H100
    assert choose_num_stages(device, 49, 32, 2) == 2
    assert choose_num_stages(device, 392, 32, 2) == 1
    assert choose_num_stages(device, 392, 32, 4) == 0
    assert choose_num_stages(device, 1024, 64, 2) == 0
