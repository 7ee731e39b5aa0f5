"""Distributed training (ZeRO) options: defaults, bounds and valid combinations."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.machine_size import MachineSize

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.json_value import JsonValue
from modelmill_trainer.domain.methods import ANSWERS, FULL, LORA, TEXT

FP32 = "fp32"
BF16 = "bf16"
FP16 = "fp16"
PRECISIONS = (FP32, BF16, FP16)
GUIDE_ZERO3 = "guide-zero3"
STAGES = (1, 2, 3)
WEIGHTS_STAGE = 3
"""The ZeRO stage that partitions the weights themselves."""
MAX_RANKS = 1024
RELAY_BYTES = 1 << 28

DIVIDED_METHODS, DIVIDED_OBJECTIVES = (LORA, FULL), (ANSWERS, TEXT)


@dataclass(frozen=True, kw_only=True)
class Distribution(JsonValue):
    """Options of a distributed run, defaults filled in."""

    ranks: int = 1
    """World size."""
    zero_stage: int = WEIGHTS_STAGE
    """Stage 1 partitions optimizer state, 2 also gradients, 3 also weights."""
    offload_optimizer: bool = False
    """Keep optimizer state and master weights in CPU memory."""
    offload_parameters: bool = False
    """Keep weights in CPU memory between uses."""
    precision: str = FP32
    """Compute dtype; master weights and optimizer state are float32 in each case."""
    preset: str = ""
    """Name of the DeepSpeed preset; empty for none."""


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
"""Values of the presets. A test compares them with the JSON files of the same names in
`modelmill_trainer.training.distributed.presets`."""


def decide_distribution(given: Mapping[str, Any], *, batch_size: int) -> Distribution:
    """Fill in preset and defaults, and validate.

    Args:
        given: Values by field name of `Distribution`; absent fields take the default.
        batch_size: Rows of an optimizer step; 0 if chosen automatically, which is always enough.

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
    """Errors of combining a distribution with method, objective or rate search."""
    if distribution is None:
        return []
    errors = []
    if choices.method not in DIVIDED_METHODS:
        errors.append(f"distribution: method {choices.method} runs in one process. Leave it out")
    if choices.objective not in DIVIDED_OBJECTIVES:
        errors.append(
            f"distribution: objective {choices.objective} runs in one process. Leave it out"
        )
    if choices.search_learning_rate:
        errors.append(
            "distribution: search_learning_rate runs in a single process. Leave one of them out"
        )
    return errors


def divided_needs(
    whole: MachineSize, distribution: Distribution | None, *, on_cluster: bool = False
) -> MachineSize:
    """Worker size for a run, given the size of a single-process run.

    Each rank loads the whole base before it is partitioned: the memory of one process times the
    ranks
    is enough at every stage. With ranks on a cluster the worker only relays messages.
    """
    if distribution is None:
        return whole
    if on_cluster:
        return MachineSize(cpus=1, memory_bytes=RELAY_BYTES)
    return replace(
        whole,
        cpus=max(whole.cpus, distribution.ranks),
        memory_bytes=whole.memory_bytes * distribution.ranks,
    )
