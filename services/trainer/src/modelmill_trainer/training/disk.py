"""Converts "no space left" errors to a typed job failure."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from modelmill_jobs.child import ChildFailure
from modelmill_service_kit.errors import DISK_FULL_ERRNOS, DiskFullError
from safetensors import SafetensorError

_REASONS = tuple(os.strerror(number) for number in sorted(DISK_FULL_ERRNOS))


@contextmanager
def disk_full_as_failure(step: int) -> Iterator[None]:
    """Raise ChildFailure, resumable, if a write in the block finds no space.

    Args:
        step: Step of the checkpoint that is written.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        # safetensors reports system errors only as text.
        if not any(reason in str(error) for reason in _REASONS):
            raise
        raise ChildFailure(
            DiskFullError.reason,
            f"there is no space for the state after step {step}",
            "Free space and resume the job. It continues from its last checkpoint.",
        ) from error
