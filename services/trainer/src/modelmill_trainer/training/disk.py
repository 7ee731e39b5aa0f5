"""A full disk, said as what it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from modelmill_jobs.child import ChildFailure
from modelmill_service_kit.errors import DISK_FULL_ERRNOS, DiskFullError
from safetensors import SafetensorError

_REASONS = tuple(os.strerror(number) for number in sorted(DISK_FULL_ERRNOS))


@contextmanager
def disk_full_named(step: int) -> Iterator[None]:
    """Within the block, a write that finds no space ends the job, which can be resumed.

    Args:
        step: That the state is of.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        # safetensors tells of an error of the system in words alone.
        if not any(reason in str(error) for reason in _REASONS):
            raise
        raise ChildFailure(
            DiskFullError.reason,
            f"there is no space for the state after step {step}",
            "Free space and resume the job: it goes on from its last checkpoint.",
        ) from error
