"""What memory a process has taken, and how to know that it got none."""

import resource

import torch

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


def peak_bytes() -> int:
    """The most that this process has held: of the accelerator's memory where there is one."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
