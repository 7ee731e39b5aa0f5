"""How the synchronous half waits."""

import time


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
