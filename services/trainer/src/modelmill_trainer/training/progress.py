"""How far a run is, over all its attempts; part of every checkpoint."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """Counts of a run, which a resume goes on with."""

    step: int = 0
    """Optimizer steps done."""
    tokens: int = 0
    """Tokens read in training, prompts and answers."""
    seconds: float = 0.0
    """Time spent in steps."""
    flops: float = 0.0
    """Operations of the matrix products that the steps needed."""
    work_seconds: float = 0.0
    """Time of all attempts until they saved last: loading, examining and saving too."""
    first_loss: float | None = None
    last_loss: float | None = None
    base_correct: list[bool] | None = None
    """The base model's result on the test split, scored before the first step."""
    micro_batch_rows: int = 0
    """Rows of a micro-batch, once memory was too small for what was asked; 0 before."""
    best_step: int = 0
    """After which step the loss of the valid split was lowest; 0 before it was measured."""
    best_valid_loss: float | None = None
    valid_losses: list[tuple[int, float]] = field(default_factory=list)
    """Step and loss, in their order."""
    stopped_by: str = ""
    """Why training ended before its plan did; empty when it did not."""
    decision: dict[str, Any] | None = None
    """What was left open and is decided, as `Decision` writes it."""
    first_valid_loss: float | None = None
    """Of the base, before the first step."""
