"""Lines of the log about kernels, each once."""

from functools import lru_cache


@lru_cache(maxsize=64)
def log_once(message: str) -> None:
    """Log a line, unless it was logged before."""
    from mmengine.logging import MMLogger

    MMLogger.get_current_instance().info(message)
