"""Converts the choices of a TrainSpec between messages and domain types."""

from typing import Any

from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill.trainer.v1.trainer_service_pb2 import TeacherAnswers
from modelmill_service_kit.errors import InvalidInputError

from modelmill_trainer.domain.distribution import (
    BF16,
    FP16,
    FP32,
    Distribution,
    decide_distribution,
)
from modelmill_trainer.domain.hyper_parameters import LISTS, HyperParameters, decide
from modelmill_trainer.domain.limits import TrainingLimits
from modelmill_trainer.domain.methods import (
    ANSWERS,
    DISTILLATION,
    DPO,
    FULL,
    KTO,
    LORA,
    PREFIX,
    PROMPT,
    QLORA,
    TEXT,
    has_meaning,
)

METHODS = {
    pb.TRAINING_METHOD_UNSPECIFIED: LORA,
    pb.TRAINING_METHOD_LORA: LORA,
    pb.TRAINING_METHOD_FULL: FULL,
    pb.TRAINING_METHOD_PREFIX: PREFIX,
    pb.TRAINING_METHOD_PROMPT: PROMPT,
    pb.TRAINING_METHOD_QLORA: QLORA,
}
OBJECTIVES = {
    pb.TRAINING_OBJECTIVE_UNSPECIFIED: ANSWERS,
    pb.TRAINING_OBJECTIVE_ANSWERS: ANSWERS,
    pb.TRAINING_OBJECTIVE_TEXT: TEXT,
    pb.TRAINING_OBJECTIVE_DPO: DPO,
    pb.TRAINING_OBJECTIVE_KTO: KTO,
    pb.TRAINING_OBJECTIVE_DISTILLATION: DISTILLATION,
}

TAUGHT = (ANSWERS, DISTILLATION)
"""Objectives that can train on a teacher's answers."""
ANSWER_TOKENS = 256
MAX_ANSWER_TOKENS = 32_768
MAX_TEMPERATURE = 2.0
PRECISIONS = {
    pb.TRAINING_PRECISION_FP32: FP32,
    pb.TRAINING_PRECISION_BF16: BF16,
    pb.TRAINING_PRECISION_FP16: FP16,
}


def decide_spec(spec: pb.TrainSpec, *, context_tokens: int | None = None) -> HyperParameters:
    """Hyper-parameters of `spec` with defaults; method AUTO must be resolved before.

    Raises:
        InvalidInputError: lists every error.
    """
    method, objective = METHODS.get(spec.method), OBJECTIVES.get(spec.objective)
    errors = []
    if method is None:
        errors.append(f"method {spec.method} is not known. Use {_names(pb.TrainingMethod)}")
    if objective is None:
        errors.append(
            f"objective {spec.objective} is not known. Use {_names(pb.TrainingObjective)}"
        )
    errors += _errors_of_teacher(spec, objective)
    try:
        # Go on with placeholders, so that one response lists every error.
        decided = decide(
            method or LORA,
            _given(spec),
            objective=objective or ANSWERS,
            context_tokens=context_tokens,
        )
    except InvalidInputError as error:
        raise InvalidInputError([*errors, *error.errors]) from error
    if errors:
        raise InvalidInputError(errors)
    return decided


def limits_of(spec: pb.TrainSpec) -> TrainingLimits:
    """Limits that end the run early."""
    return TrainingLimits(
        **{
            field.name: getattr(spec.limits, field.name)
            for field in pb.TrainingLimits.DESCRIPTOR.fields
        }
    )


def decided_spec(spec: pb.TrainSpec, choices: HyperParameters) -> pb.TrainSpec:
    """A copy of `spec` with every default filled in, so that the job record is complete."""
    written = pb.TrainSpec()
    written.CopyFrom(spec)
    written.ClearField("hyper_parameters")
    written.method = _key_of(METHODS, choices.method)
    written.objective = _key_of(OBJECTIVES, choices.objective)
    if spec.HasField("teacher_answers"):
        written.teacher_answers.max_new_tokens = answer_tokens(spec.teacher_answers)
    for field in pb.HyperParameters.DESCRIPTOR.fields:
        if not has_meaning(field.name, choices.method, choices.objective):
            continue
        value = getattr(choices, field.name)
        if field.name in LISTS:
            getattr(written.hyper_parameters, field.name).extend(value)
        else:
            setattr(written.hyper_parameters, field.name, value)
    return written


def is_auto(spec: pb.TrainSpec) -> bool:
    """Whether the trainer chooses the method."""
    return spec.method == pb.TRAINING_METHOD_AUTO


def set_method(spec: pb.TrainSpec, method: str, reason: str) -> None:
    """Replace AUTO by a method, and record the reason."""
    spec.method = _key_of(METHODS, method)
    spec.method_reason = reason


def _given(spec: pb.TrainSpec) -> dict[str, Any]:
    given = {
        field.name: getattr(spec.hyper_parameters, field.name)
        for field in pb.HyperParameters.DESCRIPTOR.fields
    }
    return given | {name: tuple(given[name]) for name in LISTS}


def _errors_of_teacher(spec: pb.TrainSpec, objective: str | None) -> list[str]:
    asked = spec.HasField("teacher_answers")
    if asked and objective not in TAUGHT:
        return [f"teacher_answers has no meaning for objective {objective}"]
    errors = answer_option_errors(spec.teacher_answers) if asked else []
    if spec.teacher_version_id:
        if objective != DISTILLATION and not asked:
            errors.append(
                f"teacher_version_id has no effect with objective {objective}. Set objective "
                "distillation to learn its logits, or teacher_answers to learn its answers"
            )
    elif objective == DISTILLATION:
        errors.append(
            "teacher_version_id is missing, and objective distillation needs a teacher's logits. "
            "Name a model of form safetensors or a LoRA adapter, with the base's tokenizer"
        )
    elif asked:
        errors.append(
            "teacher_version_id is missing. Name the served model whose answers are learned"
        )
    return errors


def _key_of(names: dict[Any, str], name: str) -> Any:
    """The enum value of a name; UNSPECIFIED maps to the same name and is skipped."""
    return next(key for key, known in names.items() if known == name and key)


def _names(enum: Any) -> str:
    words = [name.split("_", 2)[2] for name, number in enum.items() if number]
    return f"{', '.join(words[:-1])} or {words[-1]}"


def answer_tokens(asked: TeacherAnswers) -> int:
    """Maximum tokens of an answer."""
    return asked.max_new_tokens or ANSWER_TOKENS


def answer_option_errors(asked: TeacherAnswers) -> list[str]:
    """All errors of the options."""
    errors = []
    if asked.max_new_tokens > MAX_ANSWER_TOKENS:
        errors.append(
            f"teacher_answers.max_new_tokens must be at most {MAX_ANSWER_TOKENS}, "
            f"got {asked.max_new_tokens}"
        )
    if not 0 <= asked.temperature <= MAX_TEMPERATURE:
        errors.append(
            f"teacher_answers.temperature must be between 0 and {MAX_TEMPERATURE:g}, "
            f"got {asked.temperature:g}"
        )
    return errors


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
