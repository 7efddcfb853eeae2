"""Training loops that go on where a run was interrupted."""

from collections.abc import Iterator
from typing import Any

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from swin_dense.engine.placed_batches import (
    PlacedBatches,
    place_batches,
    set_epoch,
)


class _Unread:
    """Stands for a loader that must not start to read yet."""

    def __init__(self, loader: DataLoader) -> None:
        self.dataset = loader.dataset

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class _EndlessBatches:
    """Batches of a loader for ever, from a certain one on.

    mmengine's loop asks for all batches of the past before it trains: for
    these, None is returned at once.

    Args:
        loader: The loader of the training set.
        placed: Its batch sampler; None to load batches only to skip them.
        done: Number of batches that were trained on.
    """

    def __init__(
        self, loader: DataLoader, placed: PlacedBatches | None, done: int
    ) -> None:
        self._loader = loader
        self._placed = placed
        self._past = done
        self._done = done
        self._batches = self._generate()

    def __next__(self) -> Any:
        if self._past:
            self._past -= 1
            return None
        return next(self._batches)

    def _generate(self) -> Iterator[Any]:
        epoch = 0
        skip = self._done if self._placed is None else 0
        if self._placed is not None:
            epoch = self._placed.advance(self._done, number=self._done)
        while True:
            for batch in self._loader:
                if skip:
                    skip -= 1
                else:
                    yield batch
            epoch += 1
            set_epoch(self._loader.batch_sampler, epoch)


@LOOPS.register_module()
class ExactIterBasedTrainLoop(IterBasedTrainLoop):
    """mmengine's loop, which does not load again what was trained on.

    The arguments are mmengine's. Runners of this package use it where a config
    says `IterBasedTrainLoop`.
    """

    def __init__(self, runner: Any, dataloader: Any, **kwargs: Any) -> None:
        loader = _build(runner, dataloader)
        super().__init__(runner, _Unread(loader), **kwargs)  # type: ignore
        self.dataloader = loader
        self._placed = place_batches(loader, runner.seed)

    def run(self) -> Any:
        """Train, from the iteration that the runner has resumed."""
        self.dataloader_iterator: Any = _EndlessBatches(
            self.dataloader, self._placed, self._iter
        )
        return super().run()


@LOOPS.register_module()
class ExactEpochBasedTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop, which goes on inside of an epoch.

    The arguments are mmengine's. Runners of this package use it where a config
    says `EpochBasedTrainLoop`.
    """

    def __init__(self, runner: Any, dataloader: Any, **kwargs: Any) -> None:
        super().__init__(runner, _build(runner, dataloader), **kwargs)
        self._placed = place_batches(self.dataloader, runner.seed)

    def run_epoch(self) -> None:
        """Train for an epoch, or for what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        if self._placed is not None:
            self._placed.advance(done, number=self._iter)
        start = done if self._placed is not None else 0
        for index, batch in enumerate(self.dataloader, start):
            if index >= done:  # True unless the data set is a stream
                self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


def exact_loop(loop: Any) -> Any:
    """Replace mmengine's loops in a config by those of this module.

    Args:
        loop: The config of a training loop, or a loop.
    """
    if not isinstance(loop, dict):
        return loop
    loop = dict(loop)
    kind = loop.get('type')
    if kind is None and 'by_epoch' in loop:
        kind = (IterBasedTrainLoop, EpochBasedTrainLoop)[loop.pop('by_epoch')]
    for ours in (ExactIterBasedTrainLoop, ExactEpochBasedTrainLoop):
        theirs = ours.__mro__[1]
        names = (theirs, theirs.__name__, f'mmengine.{theirs.__name__}')
        if kind in names:
            kind = ours
    return {**loop, 'type': kind}


def _build(runner: Any, dataloader: Any) -> DataLoader:
    """Return a data loader, built as mmengine's loops build it."""
    if not isinstance(dataloader, dict):
        return dataloader
    return runner.build_dataloader(
        dataloader,
        seed=runner.seed,
        diff_rank_seed=runner._randomness_cfg.get('diff_rank_seed', False),
    )
