"""A limit on how long a run waits for its data."""
from contextlib import contextmanager
from typing import Any, Iterator

__all__ = ['TIME_LIMIT', 'explain_time_limit', 'with_time_limit']

# Seconds for the next batch. Processes that load data hang where a library
# does not survive a fork, or a disk does not answer; without a limit the run
# would wait for them for ever.
TIME_LIMIT = 600


def with_time_limit(dataloader: Any) -> Any:
    """Return the settings of a data loader with `timeout` set, if it has
    processes of its own."""
    if isinstance(dataloader, dict) and dataloader.get('num_workers'):
        return {'timeout': TIME_LIMIT, **dataloader}
    return dataloader


@contextmanager
def explain_time_limit() -> Iterator[None]:
    """Say what to do when a data loader has timed out.

    Raises:
        TimeoutError: In place of PyTorch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if 'DataLoader timed out' not in str(error):
            raise
        raise TimeoutError(
            f'{error}: the processes that load data gave no batch for so '
            'long. If they hang, num_workers=0 in the dataloader shows where '
            "(with persistent_workers=False), and multiprocessing_context='"
            "spawn' starts them clean; if a batch does take longer, raise "
            'timeout=… in the dataloader') from error
