"""Training methods and objectives, and which combinations are valid."""

LORA = "lora"
FULL = "full"
PREFIX = "prefix"
PROMPT = "prompt"
QLORA = "qlora"
AUTO = "auto"
METHODS = (LORA, FULL, PREFIX, PROMPT, QLORA)
"""Resolved methods: `AUTO` is one of these when a run starts."""
LOW_RANK = (LORA, QLORA)
"""Methods that train a LoRA adapter: over the base as it is, or over the base in four bits."""
VIRTUAL = (PREFIX, PROMPT)
"""Methods that train a soft prompt."""

ANSWERS = "answers"
TEXT = "text"
DPO = "dpo"
KTO = "kto"
DISTILLATION = "distillation"
OBJECTIVES = (ANSWERS, TEXT, DPO, KTO, DISTILLATION)
PREFERENCES = (DPO, KTO)
"""Preference objectives; their reference model is the base."""

GUIDE_RATES = {LORA: 3e-5, FULL: 1e-5, PREFIX: 5e-3, PROMPT: 1e-2}
GUIDE_PREFERENCE_SHARE = 0.1

FOREIGN_TEACHER = (
    "its tokenizer or chat template differs from the base's, so that logits cannot be compared"
)
OTHER_TEACHER = (
    "Name a teacher of the base's family, or give teacher_answers with objective answers to learn "
    "what it answers."
)

FIELDS_OF_METHODS: dict[str, tuple[str, ...]] = {
    "lora_rank": LOW_RANK,
    "lora_alpha": LOW_RANK,
    "lora_dropout": LOW_RANK,
    "target_modules": LOW_RANK,
    "target_parameters": (LORA,),
    "virtual_tokens": VIRTUAL,
}
"""Fields that apply to these methods only."""
FIELDS_OF_OBJECTIVES: dict[str, tuple[str, ...]] = {
    "preference_beta": PREFERENCES,
    "distillation_temperature": (DISTILLATION,),
    "distillation_weight": (DISTILLATION,),
    "teacher_texts": (DISTILLATION,),
    "last_turn_only": (ANSWERS, DISTILLATION),
}
"""Fields that apply to these objectives only."""


def guide_rate(method: str, objective: str) -> float:
    """Peak learning rate of preset guide."""
    rate = GUIDE_RATES.get(method, GUIDE_RATES[LORA])
    return rate * GUIDE_PREFERENCE_SHARE if objective in PREFERENCES else rate


def has_meaning(field: str, method: str, objective: str) -> bool:
    """Whether a field applies to this method and objective."""
    return method in FIELDS_OF_METHODS.get(field, (method,)) and objective in (
        FIELDS_OF_OBJECTIVES.get(field, (objective,))
    )


def errors_of_combination(method: str, objective: str) -> list[str]:
    """Errors of a method, an objective or their combination; empty if valid."""
    errors = []
    if method not in METHODS:
        errors.append(f"method must be one of {', '.join(METHODS)}")
    if objective not in OBJECTIVES:
        errors.append(f"objective must be one of {', '.join(OBJECTIVES)}")
    if (method, objective) == (FULL, KTO):
        errors.append(
            "objective kto does not work with method full: every step needs likelihoods of the "
            "base model, whose weights a full run overwrites. Use dpo, or method lora"
        )
    return errors


def errors_of_fields(given: set[str], method: str, objective: str) -> list[str]:
    """Errors of given fields that do not apply to the method or objective."""
    errors = [
        f"{name} has no meaning for method {method}"
        for name, methods in FIELDS_OF_METHODS.items()
        if name in given and method not in methods
    ]
    errors += [
        f"{name} has no meaning for objective {objective}"
        for name, objectives in FIELDS_OF_OBJECTIVES.items()
        if name in given and objective not in objectives
    ]
    return errors
