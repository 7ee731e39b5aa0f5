"""Converts errors of libraries to typed job failures: memory, disk space, tokenizer limits."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from modelmill_jobs.child import ChildFailure
from modelmill_service_kit.errors import DISK_FULL_ERRNOS, DiskFullError
from modelmill_tokenization.bounded import LimitError
from safetensors import SafetensorError

KIB = 1024
_REFUSALS = ("can't allocate memory", "not enough memory", "out of memory")
"""Messages of plain RuntimeErrors by which torch reports a failed CPU allocation."""
_REASONS = tuple(os.strerror(number) for number in sorted(DISK_FULL_ERRNOS))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is an out-of-memory error."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        refusal in str(error).lower() for refusal in _REFUSALS
    )


@contextmanager
def out_of_memory_as_failure() -> Iterator[None]:
    """Convert out-of-memory errors of a rank to a typed failure; other ranks cannot continue.

    Raises:
        ChildFailure: instead of torch's error.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ChildFailure(
            "OUT_OF_MEMORY",
            "a rank has too little memory for its part of the run",
            "Raise gradient_accumulation_steps or the number of ranks, lower max_tokens_per_row, "
            "or train on machines with more memory.",
        ) from error


def peak_bytes() -> int:
    """Peak memory of this process: GPU memory if there is a GPU, else resident set size."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


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


@contextmanager
def limits_as_failure() -> Iterator[None]:
    """Raise ChildFailure instead of LimitError, because a retry cannot succeed."""
    try:
        yield
    except LimitError as error:
        raise ChildFailure(error.reason, error.message, "Train another base model.") from error
