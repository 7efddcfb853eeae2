"""Cut a batch into chunks whose intermediate results fit the cache.

Windows are independent of each other, and so are the tokens of a feed-forward
network. On a CPU both run faster in chunks: intermediate results of a chunk
stay in the processor's cache and reuse the same memory, instead of streaming
through fresh buffers as large as the map.
"""

import torch

from swin_dense.kernels.cpu.threads import num_workers
from swin_dense.kernels.window_index import slices

# Bytes of the widest intermediate result of a chunk: large enough for matrix
# products to run at full speed, small enough for a worker's share of a cache.
CHUNK_BYTES = 2 * 2**20
# Without gradients a chunk has fewer intermediate results. There the chunks of
# all workers together may have this size: the larger, the faster the products.
CACHE_BYTES = 8 * 2**20
# Below this size, the result is ready before another thread has started.
SHARED_BYTES = 2**18
# In a training step, products with results up to this size run faster in one
# piece. Each chunk would add to gradients as large as the weights, and the C
# library reuses the memory of results of that size. Larger results get fresh
# pages each time, and filling those takes as long as the product itself.
WHOLE_BYTES = 32 * 2**20


def num_chunks(
    rows: int, row_size: int, dtype: torch.dtype, training: bool = False
) -> int:
    """Return the number of chunks to cut a batch into.

    Args:
        rows: Length of the first axis.
        row_size: Elements per row of the widest intermediate result.
        dtype: Type of the intermediate result.
        training: Whether gradients are computed.
    """
    size = rows * row_size * dtype.itemsize
    if size <= SHARED_BYTES:
        return 1
    workers = num_workers()
    together = CHUNK_BYTES * workers
    if not training:
        together = max(together, CACHE_BYTES)
    rounds = -(-size // together)
    return min(rows, rounds * workers)  # the same number for each worker


def cut_chunks(
    rows: int, row_size: int, dtype: torch.dtype, training: bool = False
) -> list[slice]:
    """Return the slices of a batch; arguments as in `num_chunks`."""
    return slices(rows, num_chunks(rows, row_size, dtype, training))


def cut_large(rows: int, row_size: int, dtype: torch.dtype) -> list[slice]:
    """Return the slices of a batch in training; one slice if it is small."""
    if rows * row_size * dtype.itemsize <= WHOLE_BYTES:
        return [slice(0, rows)]
    return cut_chunks(rows, row_size, dtype, training=True)
