"""How a run is divided among processes: what may be chosen, and what goes with what."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.machine_size import MachineSize

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import ANSWERS, FULL, LORA, TEXT

FP32 = "fp32"
BF16 = "bf16"
FP16 = "fp16"
PRECISIONS = (FP32, BF16, FP16)
GUIDE_ZERO3 = "guide-zero3"
STAGES = (1, 2, 3)
WEIGHTS_STAGE = 3
"""The stage that divides the weights themselves."""
MAX_RANKS = 1024
SPEAKING_BYTES = 1 << 28

DIVIDED_METHODS, DIVIDED_OBJECTIVES = (LORA, FULL), (ANSWERS, TEXT)


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A division, decided to the last choice."""

    ranks: int = 1
    """Processes."""
    zero_stage: int = WEIGHTS_STAGE
    """1 divides moments and master weights, 2 gradients too, 3 weights too."""
    offload_optimizer: bool = False
    """Moments and master weights stay in main memory."""
    offload_parameters: bool = False
    """Weights stay in main memory between their uses."""
    precision: str = FP32
    """Format that is computed in; master weights and moments are float32 in each."""
    preset: str = ""
    """The configuration that was begun with; empty for none."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Distribution":
        """Read what `as_json` wrote."""
        return cls(**document)


PRESETS = {
    GUIDE_ZERO3: Distribution(
        ranks=1,
        zero_stage=WEIGHTS_STAGE,
        offload_optimizer=True,
        offload_parameters=True,
        precision=BF16,
        preset=GUIDE_ZERO3,
    )
}
"""Each has a file of the same name in `modelmill_trainer.training.distributed.presets`, whose
values these are: a test holds them together."""


def decide_distribution(given: Mapping[str, Any], *, batch_size: int) -> Distribution:
    """Fill in preset and defaults, and check every choice.

    Args:
        given: Choices by the names of `Distribution`'s fields; an absent one takes the default.
        batch_size: Rows of an optimizer step; 0 where they are left open, and then are enough.

    Raises:
        InvalidInputError: lists everything that is wrong.
    """
    preset = given.get("preset", "")
    errors = []
    if preset and preset not in PRESETS:
        errors.append(f"distribution.preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    decided = replace(PRESETS.get(preset, Distribution()), **given)
    errors += _outside_bounds(decided) + _at_odds(decided, batch_size)
    if errors:
        raise InvalidInputError(errors)
    return decided


def _outside_bounds(decided: Distribution) -> list[str]:
    errors = []
    if not 1 <= decided.ranks <= MAX_RANKS:
        errors.append(f"distribution.ranks must be 1 to {MAX_RANKS}, got {decided.ranks}")
    if decided.zero_stage not in STAGES:
        errors.append(f"distribution.zero_stage must be 1, 2 or 3, got {decided.zero_stage}")
    if decided.precision not in PRECISIONS:
        errors.append(f"distribution.precision must be one of {', '.join(PRECISIONS)}")
    return errors


def _at_odds(decided: Distribution, batch_size: int) -> list[str]:
    errors = []
    if decided.offload_parameters and decided.zero_stage < WEIGHTS_STAGE:
        errors.append(
            f"distribution.offload_parameters needs zero_stage 3: stage {decided.zero_stage} keeps "
            "all weights in each rank"
        )
    if batch_size and decided.ranks > batch_size:
        errors.append(
            f"distribution.ranks ({decided.ranks}) is more than the {batch_size} rows of a step. "
            "Raise batch_size, or use fewer ranks"
        )
    return errors


def undivided(choices: HyperParameters, distribution: Distribution | None) -> list[str]:
    """Why such a run cannot be divided: ranks keep pace where each row is one pass of its own."""
    if distribution is None:
        return []
    errors = []
    if choices.method not in DIVIDED_METHODS:
        errors.append(
            f"distribution: method {choices.method} is trained by one process. Leave it out"
        )
    if choices.objective not in DIVIDED_OBJECTIVES:
        errors.append(
            f"distribution: objective {choices.objective} is trained by one process. Leave it out"
        )
    if choices.search_learning_rate:
        errors.append("distribution: search_learning_rate is done by one process. Leave one out")
    return errors


def divided_needs(
    whole: MachineSize, distribution: Distribution | None, *, on_cluster: bool = False
) -> MachineSize:
    """What a run needs of its worker, given what it needs in one process.

    Each rank reads the whole base before it is divided, and has libraries of its own: the memory of
    a run in one process, times the ranks, is enough at every stage. Where the ranks are on a
    cluster, the worker only speaks for them.
    """
    if distribution is None:
        return whole
    if on_cluster:
        return MachineSize(cpus=1, memory_bytes=SPEAKING_BYTES)
    return replace(
        whole,
        cpus=max(whole.cpus, distribution.ranks),
        memory_bytes=whole.memory_bytes * distribution.ranks,
    )
