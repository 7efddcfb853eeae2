"""Working through a batch in chunks, so that buffers stay in the cache.

Windows do not see each other, and neither do the tokens of a feed-forward
network. On a CPU both run faster in chunks: intermediate results of a chunk
stay in the processor's cache and reuse the same memory, instead of streaming
through fresh buffers as large as the map.
"""
from typing import Iterator

from torch import Tensor

# Bytes of the widest intermediate result of a chunk. Large enough for matrix
# products to run at full speed, small enough for a shared last-level cache.
CHUNK_BYTES = 8 * 2**20


def chunk_length(x: Tensor, widest: int) -> int:
    """Return the number of rows of a chunk.

    Args:
        x: Batch, first axis rows, whose type counts.
        widest: Elements per row of the widest intermediate result.
    """
    return max(1, CHUNK_BYTES // (widest * x.element_size()))


def iter_chunks(x: Tensor, widest: int) -> Iterator[slice]:
    """Yield consecutive slices of the first axis, see `chunk_length`."""
    length = chunk_length(x, widest)
    for start in range(0, len(x), length):
        yield slice(start, min(start + length, len(x)))


def fits_one_chunk(x: Tensor, widest: int) -> bool:
    """Return True if one chunk is enough, see `chunk_length`."""
    return len(x) <= chunk_length(x, widest)
