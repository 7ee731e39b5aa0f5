"""What method `auto` becomes, and why."""

from dataclasses import dataclass

from modelmill_trainer.domain.methods import ANSWERS, FULL, LORA, TEXT

FULL_FROM_ROWS = 100_000
"""Fewer rows than this rarely teach more than low-rank adapters can hold (Biderman et al. 2024)."""
TEXT_FROM_ROWS = 10_000
"""New knowledge, as continued pre-training brings it, wants all weights sooner."""
GIB = 1 << 30


@dataclass(frozen=True)
class MethodChoice:
    """The method, and a sentence for people."""

    method: str
    reason: str


def choose_method(
    *, rows: int | None, objective: str, memory_bytes: int, full_run_bytes: int
) -> MethodChoice:
    """LoRA or all weights, by three questions in this order.

    1. Objective: what compares with the base, or with a teacher beside it, keeps the base: LoRA.
    2. Rows: few are learned as well by adapters, with less to forget: LoRA.
    3. Memory: a full run that does not fit is none: LoRA.

    Prefix and prompt tuning are never chosen: one engine alone serves them.

    Args:
        rows: Of the train split; None when the dataset is not made yet.
        memory_bytes: Of the machine that is to train.
        full_run_bytes: What a run of all weights needs.
    """
    if objective not in (ANSWERS, TEXT):
        return MethodChoice(
            LORA, f"lora, because objective {objective} compares with a model that must stay"
        )
    needed = TEXT_FROM_ROWS if objective == TEXT else FULL_FROM_ROWS
    if rows is None:
        return MethodChoice(LORA, "lora, because the dataset is not made yet and its size unknown")
    if rows < needed:
        few = f"{rows} rows are fewer than the {needed} from which all weights learn more"
        return MethodChoice(LORA, f"lora, because {few} by objective {objective}")
    if full_run_bytes > memory_bytes:
        return MethodChoice(
            LORA,
            f"lora, because all weights need {full_run_bytes / GIB:.1f} GiB of memory and there "
            f"are {memory_bytes / GIB:.1f}",
        )
    return MethodChoice(
        FULL,
        f"full, because {rows} rows are at least {needed} and {full_run_bytes / GIB:.1f} GiB fit "
        f"into {memory_bytes / GIB:.1f}",
    )
