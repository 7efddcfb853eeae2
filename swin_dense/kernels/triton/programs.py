"""Attention in windows that are read from the map by coordinates, in Triton.

Each program computes a head and a block of queries (or keys), one window after
the other. Position of the window, shift, padding and hidden keys are computed
from coordinates, so nothing is copied and no N x N tensor is in memory. All
keys of a window are in registers, so the softmax needs no second pass.

Dimension key: T, H, W size of the map (T is 1 for images); WT, WH, WW size of
the window; ST, SH, SW shift; N tokens per window, D channels of a head.
"""

import triton
import triton.language as tl

# Shorter vectors are not normalised, see `swin_dense.kernels.plain`.
MIN_LENGTH = tl.constexpr(1e-4)

# Sizes that change from image to image: a program is compiled once for all.
ANY_SIZE = ['windows', 'T', 'H', 'W', 'ST', 'SH', 'SW', 'HEADS']


@triton.jit
def copy(X, Y, N):
    """Copy numbers in the loop of the other programs, as a test."""
    for i in range(tl.program_id(0), N, tl.num_programs(0)):
        tl.store(Y + i, tl.load(X + i))


@triton.jit
def _tokens(
    window,
    slot,
    T,
    H,
    W,
    ST,
    SH,
    SW,
    WT: tl.constexpr,
    WH: tl.constexpr,
    WW: tl.constexpr,
):
    """Return row in the sample, validity and region of slots of a window."""
    KT, KH, KW = tl.cdiv(T, WT), tl.cdiv(H, WH), tl.cdiv(W, WW)
    t = window // (KW * KH) % KT * WT + slot // (WH * WW) + ST
    h = window // KW % KH * WH + slot // WW % WH + SH
    w = window % KW * WW + slot % WW + SW
    # Wrap around once at most; a remainder for each slot would cost more.
    t = tl.where(t >= KT * WT, t - KT * WT, t)
    h = tl.where(h >= KH * WH, h - KH * WH, h)
    w = tl.where(w >= KW * WW, w - KW * WW, w)
    row = (t * H + h) * W + w
    real = (slot < WT * WH * WW) & (t < T) & (h < H) & (w < W)
    # On each axis, tokens that the shift moved from the opposite side are a
    # separate region.
    region = (t < ST) * 4 + (h < SH) * 2 + (w < SW)
    return row, real, region


@triton.jit
def _read(base, row, real, pad, channel, inside, STRIDE, PAD: tl.constexpr):
    """Return rows of the map; padding is `pad`, or 0."""
    x = tl.load(
        base + (row[:, None] * STRIDE + channel[None, :]),
        real[:, None] & inside[None, :],
        0.0,
    )
    if PAD:
        fill = tl.load(pad + channel, inside, 0.0).to(x.dtype)
        x = tl.where(real[:, None], x, fill[None, :])
    return x


@triton.jit
def _read_window(
    QKV,
    PAD_ROW,
    window,
    q_slot,
    k_slot,
    channel,
    inside,
    T,
    H,
    W,
    ST,
    SH,
    SW,
    C,
    WT: tl.constexpr,
    WH: tl.constexpr,
    WW: tl.constexpr,
    PAD: tl.constexpr,
    MASK_PADDING: tl.constexpr,
):
    """Return queries, keys and values of a window, what its mask adds to the
    logits, the first row of its sample, and rows and validity of both sides.
    """
    q_row, q_real, q_region = _tokens(
        window, q_slot, T, H, W, ST, SH, SW, WT, WH, WW
    )
    k_row, k_real, k_region = _tokens(
        window, k_slot, T, H, W, ST, SH, SW, WT, WH, WW
    )
    num_windows = tl.cdiv(T, WT) * tl.cdiv(H, WH) * tl.cdiv(W, WW)
    # In 64 bits; rows within a sample fit into 32.
    sample = (window // num_windows).to(tl.int64) * (T * H * W)
    qkv = QKV + sample * 3 * C
    q = _read(qkv, q_row, q_real, PAD_ROW, channel, inside, 3 * C, PAD)
    k = _read(qkv, k_row, k_real, PAD_ROW, channel + C, inside, 3 * C, PAD)
    v = _read(qkv, k_row, k_real, PAD_ROW, channel + 2 * C, inside, 3 * C, PAD)
    hidden = q_region[:, None] != k_region[None, :]
    if MASK_PADDING:
        hidden = hidden | ~k_real[None, :]
    return q, k, v, hidden, sample, q_row, q_real, k_row, k_real


@triton.jit
def _unit(x):
    """Return float32 vectors of length 1 (see MIN_LENGTH), and lengths."""
    x = x.to(tl.float32)
    length = tl.sqrt(tl.sum(x * x, 1))[:, None]
    return x / tl.maximum(length, MIN_LENGTH), length


@triton.jit
def _unit_gradient(grad, unit, length):
    """Return the gradient of vectors, given that of their unit vectors."""
    along = tl.sum(grad * unit, 1)[:, None]
    along = tl.where(length >= MIN_LENGTH, along, 0.0)
    return (grad - unit * along) / tl.maximum(length, MIN_LENGTH)


@triton.jit
def _read_bias(BIAS, head, q_slot, k_slot, N: tl.constexpr):
    """Return a tile of the position bias, and a mask of its valid entries."""
    place = (head * N + q_slot[:, None]) * N + k_slot[None, :]
    both = (q_slot < N)[:, None] & (k_slot < N)[None, :]
    return tl.load(BIAS + place, both, 0.0).to(tl.float32)


@triton.jit(do_not_specialize=ANY_SIZE)
def forward(
    QKV,
    PAD_ROW,
    BIAS,
    COSINE,
    OUT,
    windows,
    T,
    H,
    W,
    ST,
    SH,
    SW,
    scale,
    excluded,
    HEADS,
    D: tl.constexpr,
    WT: tl.constexpr,
    WH: tl.constexpr,
    WW: tl.constexpr,
    PAD: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    COS: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Attend: a head and a block of queries, window after window."""
    N: tl.constexpr = WT * WH * WW
    head, d = tl.program_id(0), tl.arange(0, BLOCK_D)
    q_slot = tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    k_slot = tl.arange(0, BLOCK_K)
    channel, inside, C = head * D + d, d < D, HEADS * D
    bias = _read_bias(BIAS, head, q_slot, k_slot, N)
    if COS:
        scale = tl.load(COSINE + head)
    for window in range(tl.program_id(2), windows, tl.num_programs(2)):
        q, k, v, hidden, sample, q_row, q_real, k_row, k_real = _read_window(
            QKV,
            PAD_ROW,
            window,
            q_slot,
            k_slot,
            channel,
            inside,
            T,
            H,
            W,
            ST,
            SH,
            SW,
            C,
            WT,
            WH,
            WW,
            PAD,
            MASK_PADDING,
        )
        if COS:
            q, k = _unit(q)[0].to(v.dtype), _unit(k)[0].to(v.dtype)
        logits = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        logits += bias + tl.where(hidden, excluded, 0.0)
        logits = tl.where((k_slot < N)[None, :], logits, float('-inf'))
        p = tl.exp(logits - tl.max(logits, 1)[:, None])
        p = p / tl.sum(p, 1)[:, None]
        out = tl.dot(p.to(v.dtype), v, input_precision=PRECISION)
        tl.store(
            OUT + sample * C + (q_row[:, None] * C + channel[None, :]),
            out.to(OUT.dtype.element_ty),
            q_real[:, None] & inside[None, :],
        )


@triton.jit(do_not_specialize=ANY_SIZE)
def backward(
    QKV,
    PAD_ROW,
    BIAS,
    COSINE,
    GRAD,
    DQKV,
    DPAD,
    DBIAS,
    DCOSINE,
    LSE,
    DELTA,
    windows,
    T,
    H,
    W,
    ST,
    SH,
    SW,
    scale,
    excluded,
    HEADS,
    D: tl.constexpr,
    WT: tl.constexpr,
    WH: tl.constexpr,
    WW: tl.constexpr,
    PAD: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    COS: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Compute gradients of a head and a block, window after window.

    QUERIES: a block of queries and all keys; computes the gradients of
    queries, bias and cosine. KEYS: a block of keys and all queries; computes
    the gradients of keys and values. If one block holds all tokens, a program
    does both. Otherwise the pass for queries stores LSE and DELTA for the pass
    for keys, which has no complete row of weights.

    A program adds up the gradients that windows share in registers and writes
    them once. There are no atomic additions, so sums are deterministic.
    """
    N: tl.constexpr = WT * WH * WW
    head, block, d = tl.program_id(0), tl.program_id(1), tl.arange(0, BLOCK_D)
    q_slot, k_slot = tl.arange(0, BLOCK_Q), tl.arange(0, BLOCK_K)
    if QUERIES:
        q_slot += block * BLOCK_Q
    else:
        k_slot += block * BLOCK_K
    channel, inside, C = head * D + d, d < D, HEADS * D
    bias = _read_bias(BIAS, head, q_slot, k_slot, N)
    if COS:
        scale = tl.load(COSINE + head)
    if QUERIES:
        dbias = tl.zeros((BLOCK_Q, BLOCK_K), tl.float32)
        dcosine = tl.zeros((BLOCK_Q,), tl.float32)
    if KEYS and PAD:
        dk_pad = tl.zeros((BLOCK_D,), tl.float32)
        dv_pad = tl.zeros((BLOCK_D,), tl.float32)
    for window in range(tl.program_id(2), windows, tl.num_programs(2)):
        q, k, v, hidden, sample, q_row, q_real, k_row, k_real = _read_window(
            QKV,
            PAD_ROW,
            window,
            q_slot,
            k_slot,
            channel,
            inside,
            T,
            H,
            W,
            ST,
            SH,
            SW,
            C,
            WT,
            WH,
            WW,
            PAD,
            MASK_PADDING,
        )
        do = _read(
            GRAD + sample * C,
            q_row,
            q_real,
            PAD_ROW,
            channel,
            inside,
            C,
            False,
        ).to(v.dtype)
        if COS:
            q_unit, q_length = _unit(q)
            k_unit, k_length = _unit(k)
            q, k = q_unit.to(v.dtype), k_unit.to(v.dtype)
        products = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        logits = products * scale + (bias + tl.where(hidden, excluded, 0.0))
        row = (window * HEADS + head).to(tl.int64) * N + q_slot
        if QUERIES:
            logits = tl.where((k_slot < N)[None, :], logits, float('-inf'))
            highest = tl.max(logits, 1)
            p = tl.exp(logits - highest[:, None])
            total = tl.sum(p, 1)
            p = p / total[:, None]
            dp = tl.dot(do, tl.trans(v), input_precision=PRECISION)
            delta = tl.sum(p * dp, 1)
            if not KEYS:
                tl.store(LSE + row, highest + tl.log(total), q_slot < N)
                tl.store(DELTA + row, delta, q_slot < N)
        else:
            lse = tl.load(LSE + row, q_slot < N, 0.0)
            delta = tl.load(DELTA + row, q_slot < N, 0.0)
            both = (q_slot < N)[:, None] & (k_slot < N)[None, :]
            p = tl.where(both, tl.exp(logits - lse[:, None]), 0.0)
            dp = tl.dot(do, tl.trans(v), input_precision=PRECISION)
        ds = p * (dp - delta[:, None])
        ds_scaled = (ds * scale).to(v.dtype)
        dqkv = DQKV + sample * 3 * C
        if QUERIES:
            dbias += ds
            dq = tl.dot(ds_scaled, k, input_precision=PRECISION)
            if COS:
                dcosine += tl.sum(ds * products, 1)
                dq = _unit_gradient(dq, q_unit, q_length)
            tl.store(
                dqkv + (q_row[:, None] * 3 * C + channel[None, :]),
                dq.to(DQKV.dtype.element_ty),
                q_real[:, None] & inside[None, :],
            )
        if KEYS:
            dk = tl.dot(tl.trans(ds_scaled), q, input_precision=PRECISION)
            dv = tl.dot(tl.trans(p.to(v.dtype)), do, input_precision=PRECISION)
            if COS:
                dk = _unit_gradient(dk, k_unit, k_length)
            place = dqkv + (k_row[:, None] * 3 * C + channel[None, :])
            real = k_real[:, None] & inside[None, :]
            tl.store(place + C, dk.to(DQKV.dtype.element_ty), real)
            tl.store(place + 2 * C, dv.to(DQKV.dtype.element_ty), real)
            if PAD:
                padding = ((k_slot < N) & ~k_real)[:, None]
                dk_pad += tl.sum(tl.where(padding, dk, 0.0), 0)
                dv_pad += tl.sum(tl.where(padding, dv, 0.0), 0)
    group, blocks = tl.program_id(2), tl.num_programs(1)
    if QUERIES:
        share = group * HEADS
        both = (q_slot < N)[:, None] & (k_slot < N)[None, :]
        place = (head * N + q_slot[:, None]) * N + k_slot[None, :]
        tl.store(DBIAS + share.to(tl.int64) * N * N + place, dbias, both)
        if COS:
            tl.store(
                DCOSINE + (share + head) * blocks + block, tl.sum(dcosine, 0)
            )
    if KEYS and PAD:
        share = DPAD + (group * blocks + block) * 3 * C
        tl.store(share + C + channel, dk_pad, inside)
        tl.store(share + 2 * C + channel, dv_pad, inside)
