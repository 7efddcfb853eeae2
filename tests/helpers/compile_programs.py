"""Compile the Triton programs for a GPU that need not be there.

Run as `python compile_programs.py CASE ...`, a case being `sm,window,type,
cosine,program`, such as `90,7x7,bf16,0,forward`; prints a line of JSON for
each. It is a process of its own, because the interpreter, once switched on,
leaves nothing to compile.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

os.environ.pop('TRITON_INTERPRET', None)

import torch  # noqa: E402
import triton  # noqa: E402
from triton import knobs  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from swin_dense.kernels.triton import operator, programs  # noqa: E402

DTYPES = {
    'bf16': torch.bfloat16,
    'fp16': torch.float16,
    'fp32': torch.float32,
}
FLOATS = ('scale', 'excluded')
WIDE = (
    'BIAS',
    'COSINE',
    'PAD_ROW',
    'DPAD',
    'DBIAS',
    'DCOSINE',
    'LSE',
    'DELTA',
)


def compile_program(sm, window, kind, cosine, name, head_dim=32):
    """Compile `forward`, `backward` (whole or of queries) or `keys`."""
    heads = 3
    tokens = torch.Size(window).numel()
    grid = [3 * w - 1 for w in window]  # padded
    qkv = torch.empty(
        1, *grid, 3 * heads * head_dim, dtype=DTYPES[kind], device='meta'
    )
    plan = operator.make_plan(
        qkv,
        torch.empty(heads, tokens, tokens, device='meta'),
        qkv[0, 0].flatten(),
        torch.empty(heads, device='meta') if cosine else None,
        window,
        [w // 2 for w in window],
        1.0,
        -100.0,
        bool(cosine),
    )
    constants = dict(plan.constants)
    options = {k: constants.pop(k) for k in ('num_warps', 'num_stages')}
    if os.environ.get('OPT'):
        options.update(json.loads(os.environ['OPT']))
    function = programs.forward if name == 'forward' else programs.backward
    blocks = plan.small_block, plan.whole_block
    if name == 'keys':
        blocks = blocks[::-1]
    constants.update(BLOCK_Q=blocks[0], BLOCK_K=blocks[1])
    if name != 'forward':
        constants.update(
            QUERIES=name == 'backward',
            KEYS=name == 'keys' or plan.blocks == 1,
        )
    signature, attributes = {}, {}
    for place, parameter in enumerate(function.arg_names):
        if parameter in constants:
            signature[parameter] = 'constexpr'
        elif parameter in FLOATS:
            signature[parameter] = 'fp32'
        elif parameter in programs.ANY_SIZE:
            signature[parameter] = 'i32'
        else:
            signature[parameter] = '*fp32' if parameter in WIDE else f'*{kind}'
            attributes[(place,)] = [['tt.divisibility', 16]]
    for parameter in ('PAD_ROW', 'COSINE'):
        if (
            parameter == 'COSINE'
            and not cosine
            or (parameter == 'PAD_ROW' and not constants['PAD'])
        ):
            signature[parameter] = 'constexpr'
            constants[parameter] = None
            attributes.pop((function.arg_names.index(parameter),))
    source = ASTSource(function, signature, constants, attributes)
    compiled = triton.compile(
        source, target=GPUTarget('cuda', sm, 32), options=options
    )
    return {
        'shared': compiled.metadata.shared,
        'estimate': operator.shared_memory(
            tokens, head_dim, DTYPES[kind].itemsize, options['num_stages']
        ),
        **registers(compiled.asm['cubin']),
    }


def registers(cubin):
    """Return registers of a thread and the bytes that it spills."""
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(cubin)
        file.flush()
        report = subprocess.run(
            [knobs.nvidia.cuobjdump.path, '-res-usage', file.name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return {
        'registers': int(re.search(r'REG:(\d+)', report)[1]),
        'spills': int(re.search(r'STACK:(\d+)', report)[1]),
    }


if __name__ == '__main__':
    for case in sys.argv[1:]:
        sm, window, kind, cosine, name = case.split(',')
        window = [int(w) for w in window.split('x')]
        result = compile_program(int(sm), window, kind, int(cosine), name)
        print(json.dumps({'case': case, **result}), flush=True)
