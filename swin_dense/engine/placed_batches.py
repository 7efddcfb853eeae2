"""Make every sample of a training a function of the seed and its place.

Augmentation draws from generators that are seeded anew for each sample, with
the run's seed and the sample's number in the stream of all samples. So it does
not matter which worker process prepares a sample, after which others, or
whether the run was interrupted; and samples that were trained on are skipped
by their number, without being decoded.
"""

import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from torch.utils.data import DataLoader, IterableDataset


class PlacedBatch(list):
    """Indices of a batch, and the number of each in the stream of samples.

    Args:
        indices: Indices of the samples in the data set.
        seed: Seed of the run.
        numbers: Number of each sample among all of the training.
    """

    def __init__(
        self, indices: Any, seed: int = 0, numbers: range = range(0)
    ) -> None:
        super().__init__(indices)
        self.seed = seed
        self.numbers = numbers


class PlacedBatches:
    """A batch sampler whose batches know their place in the training.

    Args:
        batches: The batch sampler to take batches from.
        seed: Seed of the run.
    """

    def __init__(self, batches: Any, seed: int) -> None:
        self.batches = batches
        self.seed = seed
        self._number = 0
        self._begun: Iterator[Any] | None = None

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        if name == 'batches':  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.batches, name)

    def advance(self, count: int, number: int) -> int:
        """Skip batches that were trained on, without loading them.

        Args:
            count: Batches to skip, in several passes of the data if need be.
            number: Number of the next batch in the training.

        Returns:
            The number of passes of the data that were skipped as a whole.
        """
        self._number = number
        passes = 0
        self._begun = iter(self.batches)
        for _ in range(count):
            if next(self._begun, None) is None:
                passes += 1
                set_epoch(self.batches, passes)
                self._begun = iter(self.batches)
                next(self._begun)
        return passes

    def __iter__(self) -> Iterator[PlacedBatch]:
        batches = iter(self.batches) if self._begun is None else self._begun
        self._begun = None
        size = self.batches.batch_size
        rank, processes = get_rank(), get_world_size()
        for indices in batches:
            first = self._number * size * processes + rank
            stop = first + len(indices) * processes
            self._number += 1
            yield PlacedBatch(
                indices, self.seed, range(first, stop, processes)
            )


class SeededItems:
    """Loads the items of a batch, each with generators of its own seed.

    PyTorch's data loader calls `__getitems__` of a data set that has it.

    Args:
        dataset: The data set.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __call__(self, indices: list[int]) -> list[Any]:
        """Return the items of some indices."""
        if not isinstance(indices, PlacedBatch):
            return [self.dataset[index] for index in indices]
        items = []
        for index, number in zip(indices, indices.numbers):
            seed_loading(indices.seed, number)
            items.append(self.dataset[index])
        return items


def place_batches(loader: DataLoader, seed: int) -> PlacedBatches | None:
    """Let the batches of a data loader know their place in the training.

    Args:
        loader: The loader of the training set, before its first batch.
        seed: Seed of the run.

    Returns:
        The batch sampler that the loader has now; None if it samples no
        batches, as for data sets that are streams.
    """
    if isinstance(loader.dataset, IterableDataset) or not hasattr(
        loader.batch_sampler, 'batch_size'
    ):
        return None
    if isinstance(loader.batch_sampler, PlacedBatches):
        return loader.batch_sampler
    batches = PlacedBatches(loader.batch_sampler, seed)
    # The loader refuses an ordinary assignment, since it would not notice
    # that workers read already.
    object.__setattr__(loader, 'batch_sampler', batches)
    dataset: Any = loader.dataset
    if not hasattr(dataset, '__getitems__'):
        dataset.__getitems__ = SeededItems(dataset)
    return batches


def set_epoch(batches: Any, epoch: int) -> None:
    """Tell a sampler, or that of a batch sampler, the pass of the data."""
    samplers: tuple[Any, ...] = (batches, getattr(batches, 'sampler', None))
    for sampler in samplers:
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)
            return


def seed_loading(seed: int, number: int) -> None:
    """Seed the generators that augmentation draws from, for one sample."""
    _seed_host(_mixed('sample', seed, number))


def seed_step(seed: int, number: int) -> None:
    """Seed all generators for one step of training in this process.

    Args:
        seed: Seed of the run.
        number: Number of the step among those of all processes.
    """
    mixed = _mixed('step', seed, number)
    _seed_host(mixed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(mixed)


def _seed_host(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def _mixed(*place: Any) -> int:
    """Return a seed below 2**63 that looks random for each place."""
    digest = hashlib.blake2b(repr(place).encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'big') >> 1
