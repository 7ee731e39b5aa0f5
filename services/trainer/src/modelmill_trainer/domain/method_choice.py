"""Resolves training method AUTO to LoRA or full fine-tuning, with the reason."""

from dataclasses import dataclass

from modelmill_trainer.domain.methods import ANSWERS, FULL, LORA, TEXT

FULL_FROM_ROWS = 100_000
"""With fewer rows LoRA rarely loses to full fine-tuning (Biderman et al. 2024)."""
TEXT_FROM_ROWS = 10_000
"""Continued pre-training adds knowledge and profits from full fine-tuning earlier."""
GIB = 1 << 30


@dataclass(frozen=True)
class MethodChoice:
    """The method, and one sentence with the reason."""

    method: str
    reason: str


def choose_method(
    *, rows: int | None, objective: str, memory_bytes: int, full_run_bytes: int
) -> MethodChoice:
    """Choose LoRA or full fine-tuning, by three criteria in this order.

    1. Objective: DPO, KTO and distillation compare with a frozen model: LoRA.
    2. Rows: with few rows LoRA learns as much and forgets less: LoRA.
    3. Memory: full fine-tuning does not fit: LoRA.

    Prefix and prompt tuning are never chosen, because only one engine serves them.


    Args:
        rows: Of the train split; None when the dataset is not made yet.
        memory_bytes: Of the machine that is to train.
        full_run_bytes: Memory that full fine-tuning needs.
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
