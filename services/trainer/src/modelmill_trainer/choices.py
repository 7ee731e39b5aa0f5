"""Converts hyper-parameters between TrainSpec messages and the domain type."""

from typing import Any

from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_service_kit.errors import InvalidInputError

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
from modelmill_trainer.teaching.answer_options import answer_option_errors, answer_tokens

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
            "Name a model of form safetensors with the base's tokenizer"
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
