"""How much of everything one run has."""

from collections.abc import Mapping
from dataclasses import dataclass, field

KILL = "kill"
"""SIGKILL of a worker, which is started again."""
FREEZE = "freeze"
"""SIGSTOP of a worker for longer than its claim lasts, then SIGCONT: a zombie."""
PARTITION = "partition"
"""Nothing gets through between a worker and the broker; later it does, or the link is reset."""
BROKER = "broker"
"""SIGKILL of the broker, which is started again on the same store."""
COMMIT = "commit"
"""A worker dies between the commit of a success and its announcement."""
FAULTS = (KILL, FREEZE, PARTITION, BROKER, COMMIT)

ODDS = {KILL: 26, FREEZE: 26, PARTITION: 24, BROKER: 12, COMMIT: 12}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run; the seed decides the rest."""

    jobs: int = 40
    faults: int = 50
    """That struck; one that found nothing to strike is drawn again."""
    workers: int = 3
    steps: int = 40
    """Of each job's chain."""
    step_seconds: float = 0.04
    save_every: int = 4
    claim_seconds: float = 1.2
    pause_seconds: tuple[float, float] = (0.2, 0.8)
    """Between one fault and the next."""
    drain_seconds: float = 90.0
    """After the last fault; what has not ended then is lost."""
    odds: Mapping[str, int] = field(default_factory=lambda: ODDS)
    compare_and_set: bool = True
    """False is the control: states are written whoever wrote last."""
