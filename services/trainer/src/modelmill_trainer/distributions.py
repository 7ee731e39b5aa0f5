"""Converts `distribution` between TrainSpec messages and the domain type."""

from typing import Any

from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_service_kit.errors import InvalidInputError

from modelmill_trainer.domain.distribution import (
    BF16,
    FP16,
    FP32,
    Distribution,
    decide_distribution,
)

PRECISIONS = {
    pb.TRAINING_PRECISION_FP32: FP32,
    pb.TRAINING_PRECISION_BF16: BF16,
    pb.TRAINING_PRECISION_FP16: FP16,
}


def distribution_of(spec: pb.TrainSpec, *, batch_size: int) -> Distribution | None:
    """The distribution of a spec with defaults; None for a single process.

    Raises:
        InvalidInputError: lists everything that is wrong with it.
    """
    if not spec.HasField("distribution"):
        return None
    wanted = spec.distribution
    given: dict[str, Any] = {
        name: getattr(wanted, name)
        for name in ("ranks", "zero_stage", "preset")
        if getattr(wanted, name)
    }
    if wanted.HasField("offload_optimizer"):
        given["offload_optimizer"] = wanted.offload_optimizer
    if wanted.HasField("offload_parameters"):
        given["offload_parameters"] = wanted.offload_parameters
    unknown = []
    if wanted.precision in PRECISIONS:
        given["precision"] = PRECISIONS[wanted.precision]
    elif wanted.precision:
        unknown = [f"distribution.precision {wanted.precision} is not known"]
    try:
        decided = decide_distribution(given, batch_size=batch_size)
    except InvalidInputError as error:
        raise InvalidInputError([*unknown, *error.errors]) from error
    if unknown:
        raise InvalidInputError(unknown)
    return decided


def write_distribution(spec: pb.TrainSpec, decided: Distribution | None) -> None:
    """Write every value into `spec`, so that the job record is complete."""
    if decided is None:
        return
    names = {name: precision for precision, name in PRECISIONS.items()}
    spec.distribution.CopyFrom(
        pb.Distribution(**decided.as_json() | {"precision": names[decided.precision]})
    )
