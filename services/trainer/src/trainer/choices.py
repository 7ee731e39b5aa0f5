"""The choices of a spec between the contract's form and the domain's."""

from modelmill.trainer.v1 import trainer_service_pb2 as pb
from service_kit.errors import InvalidInputError

from trainer.domain.hyper_parameters import FULL, LORA, LORA_FIELDS, HyperParameters, decide
from trainer.domain.limits import TrainingLimits

METHODS = {
    pb.TRAINING_METHOD_UNSPECIFIED: LORA,
    pb.TRAINING_METHOD_LORA: LORA,
    pb.TRAINING_METHOD_FULL: FULL,
}


def decide_spec(spec: pb.TrainSpec, *, context_tokens: int | None = None) -> HyperParameters:
    """The choices of `spec`, defaults filled in.

    Raises:
        InvalidInputError: lists everything that is wrong with them.
    """
    given = {
        field.name: getattr(spec.hyper_parameters, field.name)
        for field in pb.HyperParameters.DESCRIPTOR.fields
    }
    method = METHODS.get(spec.method)
    if method is not None:
        return decide(method, given, context_tokens=context_tokens)
    unknown = f"method {spec.method} is not known; use LORA or FULL"
    try:
        # What else is wrong shall be said in the same answer.
        decide(LORA, given, context_tokens=context_tokens)
    except InvalidInputError as error:
        raise InvalidInputError([unknown, *error.errors]) from error
    raise InvalidInputError(unknown)


def limits_of(spec: pb.TrainSpec) -> TrainingLimits:
    """When the run ends early, as it was asked for."""
    return TrainingLimits(
        **{
            field.name: getattr(spec.limits, field.name)
            for field in pb.TrainingLimits.DESCRIPTOR.fields
        }
    )


def decided_spec(spec: pb.TrainSpec, choices: HyperParameters) -> pb.TrainSpec:
    """`spec` with every choice written out, so that a job says what it does."""
    written = pb.TrainSpec()
    written.CopyFrom(spec)
    written.method = {LORA: pb.TRAINING_METHOD_LORA, FULL: pb.TRAINING_METHOD_FULL}[choices.method]
    for name, value in choices.as_json().items():
        if name != "method" and not (choices.method == FULL and name in LORA_FIELDS):
            setattr(written.hyper_parameters, name, value)
    return written
