"""What memory a process has taken, and how to know that it got none."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from modelmill_jobs.child import ChildFailure

KIB = 1024
_REFUSALS = ("can't allocate memory", "not enough memory", "out of memory")
"""What torch says in a plain RuntimeError where it has no type for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an operation failed because it got no memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        refusal in str(error).lower() for refusal in _REFUSALS
    )


@contextmanager
def short_of_memory_named() -> Iterator[None]:
    """Within the block a rank that gets no memory fails with that name: others cannot go on.

    Raises:
        ChildFailure: instead of what torch raises.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ChildFailure(
            "OUT_OF_MEMORY",
            "a rank has no memory for its part of the run",
            "Raise gradient_accumulation_steps or the number of ranks, lower max_tokens_per_row, "
            "or train on machines with more memory.",
        ) from error


def peak_bytes() -> int:
    """The most that this process has held: of the accelerator's memory where there is one."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
