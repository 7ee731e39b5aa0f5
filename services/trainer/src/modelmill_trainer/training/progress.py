"""Progress of a run over all attempts; part of every checkpoint."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class TrainingProgress:
    """Counters and results that a resume continues with."""

    step: int = 0
    """Optimizer steps done."""
    tokens: int = 0
    """Tokens read in training, prompts and answers."""
    seconds: float = 0.0
    """Time in optimizer steps."""
    flops: float = 0.0
    """FLOPs of the steps' matrix products."""
    work_seconds: float = 0.0
    """Total time of all attempts up to their last checkpoint, with loading and evaluation."""
    first_loss: float | None = None
    last_loss: float | None = None
    base_correct: list[bool] | None = None
    """The base model's results on the test split."""
    micro_batch_rows: int = 0
    """Reduced micro-batch size after an out-of-memory error; 0 if it was never reduced."""
    best_step: int = 0
    """Step with the lowest validation loss; 0 before the first validation."""
    best_valid_loss: float | None = None
    valid_losses: list[tuple[int, float]] = field(default_factory=list)
    """Pairs of step and validation loss."""
    stopped_by: str = ""
    """Reason for early stopping; empty if training was not stopped early."""
    decision: dict[str, Any] | None = None
    """Resolved automatic values, as JSON of `AutoChoices`."""
    first_valid_loss: float | None = None
    """Validation loss before the first step."""
