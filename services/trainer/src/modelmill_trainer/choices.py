"""The choices of a spec between the contract's form and the domain's."""

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
from modelmill_trainer.teaching.asked import answer_tokens, errors_of_asking

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
"""Objectives that learn from answers, and so may learn from a teacher's."""


def decide_spec(spec: pb.TrainSpec, *, context_tokens: int | None = None) -> HyperParameters:
    """The choices of `spec`, defaults filled in; AUTO must have become another method before.

    Raises:
        InvalidInputError: lists everything that is wrong with them.
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
        # What else is wrong shall be said in the same answer.
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
    """Whether the trainer shall choose the method."""
    return spec.method == pb.TRAINING_METHOD_AUTO


def set_method(spec: pb.TrainSpec, method: str, reason: str) -> None:
    """Write down what became of AUTO, and why."""
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
    errors = errors_of_asking(spec.teacher_answers) if asked else []
    if spec.teacher_version_id:
        if objective != DISTILLATION and not asked:
            errors.append(
                f"teacher_version_id has no meaning for objective {objective}. Give objective "
                "distillation to learn from its logits, or teacher_answers to learn its answers"
            )
    elif objective == DISTILLATION:
        errors.append(
            "teacher_version_id is missing: objective distillation learns from a model's logits. "
            "Name a model with the base's tokenizer, in the form safetensors"
        )
    elif asked:
        errors.append(
            "teacher_version_id is missing: whose answers shall be learned? Name a served model"
        )
    return errors


def _key_of(names: dict[Any, str], name: str) -> Any:
    """The value of the contract that is written; several may mean the same."""
    return next(key for key, known in names.items() if known == name and key)


def _names(enum: Any) -> str:
    words = [name.split("_", 2)[2] for name, number in enum.items() if number]
    return f"{', '.join(words[:-1])} or {words[-1]}"
