"""Which divisions of a run are accepted, what they become, and what is said of the others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.machine_size import MachineSize
from modelmill_trainer.choices import distribution_of, write_distribution
from modelmill_trainer.domain.distribution import (
    BF16,
    FP32,
    GUIDE_ZERO3,
    PRESETS,
    Distribution,
    decide_distribution,
    divided_needs,
)


def errors_of(*, batch_size: int = 32, **chosen: Any) -> list[str]:
    with pytest.raises(InvalidInputError) as refused:
        decide_distribution(chosen, batch_size=batch_size)
    return refused.value.errors


def test_a_run_is_single_process_by_default() -> None:
    assert distribution_of(pb.TrainSpec(), batch_size=32) is None


def test_several_ranks_default_to_zero_3_and_float32() -> None:
    assert decide_distribution({"ranks": 2}, batch_size=32) == Distribution(
        ranks=2, zero_stage=3, precision=FP32
    )


def test_the_guides_preset_offloads_both_and_fields_override_it() -> None:
    spec = pb.TrainSpec(distribution=pb.Distribution(ranks=4, preset=GUIDE_ZERO3))
    decided = distribution_of(spec, batch_size=32)
    assert decided is not None
    assert (decided.zero_stage, decided.precision) == (3, BF16)
    assert decided.offload_optimizer
    assert decided.offload_parameters

    spec.distribution.offload_parameters = False
    spec.distribution.zero_stage = 2
    spec.distribution.precision = pb.TRAINING_PRECISION_FP32
    changed = distribution_of(spec, batch_size=32)
    assert changed is not None
    assert (changed.zero_stage, changed.precision) == (2, FP32)
    assert changed.offload_optimizer
    assert not changed.offload_parameters


def test_every_error_is_listed_at_once() -> None:
    errors = errors_of(
        ranks=2000, zero_stage=7, precision="fp8", preset="mine", offload_parameters=True
    )

    said = "; ".join(errors)
    for part in (
        "ranks must be 1 to 1024, got 2000",
        "zero_stage must be 1, 2 or 3, got 7",
        "precision must be one of fp32, bf16, fp16",
        "preset must be one of guide-zero3, got 'mine'",
    ):
        assert part in said


def test_invalid_combinations_are_refused_with_the_reason() -> None:
    [error] = errors_of(ranks=2, zero_stage=2, offload_parameters=True)
    assert "offload_parameters needs zero_stage 3: stage 2 keeps all weights" in error

    [error] = errors_of(ranks=8, batch_size=4)
    assert "ranks (8) is more than the 4 rows of a step" in error


def test_an_unknown_precision_is_reported_with_all_other_errors() -> None:
    spec = pb.TrainSpec(distribution=pb.Distribution(ranks=2, precision=9, zero_stage=5))  # type: ignore[arg-type]

    with pytest.raises(InvalidInputError) as refused:
        distribution_of(spec, batch_size=32)

    assert len(refused.value.errors) == 2
    assert "precision 9 is not known" in refused.value.errors[0]


@given(
    ranks=st.integers(1, 32),
    stage=st.sampled_from([1, 2, 3]),
    offloads=st.tuples(st.booleans(), st.booleans()),
    precision=st.sampled_from(["fp32", "bf16", "fp16"]),
    preset=st.sampled_from(["", *PRESETS]),
)
def test_a_distribution_survives_a_json_round_trip(
    ranks: int, stage: int, offloads: tuple[bool, bool], precision: str, preset: str
) -> None:
    decided = Distribution(
        ranks=ranks,
        zero_stage=stage,
        offload_optimizer=offloads[0],
        offload_parameters=offloads[1] and stage == 3,
        precision=precision,
        preset=preset,
    )
    spec = pb.TrainSpec()
    write_distribution(spec, decided)

    assert distribution_of(spec, batch_size=32) == decided
    assert Distribution.from_json(decided.as_json()) == decided


def test_each_local_rank_needs_the_memory_of_a_whole_run() -> None:
    whole = MachineSize(cpus=1, memory_bytes=1000)

    assert divided_needs(whole, None) == whole
    divided = divided_needs(whole, Distribution(ranks=4))
    assert (divided.cpus, divided.memory_bytes) == (4, 4000)
    assert divided_needs(whole, Distribution(ranks=4), on_cluster=True).cpus == 1
