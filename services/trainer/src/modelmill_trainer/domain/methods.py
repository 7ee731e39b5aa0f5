"""The two axes of a run: which weights change, and what becomes smaller; and what combines."""

LORA = "lora"
FULL = "full"
PREFIX = "prefix"
PROMPT = "prompt"
QLORA = "qlora"
AUTO = "auto"
METHODS = (LORA, FULL, PREFIX, PROMPT)
"""Which weights change, as a run knows them; `AUTO` has become one of them before."""
VIRTUAL = (PREFIX, PROMPT)
"""Methods that learn something which stands before every row."""

ANSWERS = "answers"
TEXT = "text"
DPO = "dpo"
KTO = "kto"
DISTILLATION = "distillation"
OBJECTIVES = (ANSWERS, TEXT, DPO, KTO, DISTILLATION)
PREFERENCES = (DPO, KTO)
"""Objectives that compare the model with its own base."""

GUIDE_RATES = {LORA: 3e-5, FULL: 1e-5, PREFIX: 5e-3, PROMPT: 1e-2}
GUIDE_PREFERENCE_SHARE = 0.1

NO_QLORA = (
    "method qlora needs a GPU and bitsandbytes, and no worker of this release has both. Use lora, "
    "whose base is kept in bfloat16"
)

FOREIGN_TEACHER = (
    "its tokenizer or chat template is not the base's, so that their words cannot be compared"
)
OTHER_TEACHER = (
    "Name a teacher of the base's family, or give teacher_answers with objective answers to learn "
    "what it answers."
)

FIELDS_OF_METHODS: dict[str, tuple[str, ...]] = {
    "lora_rank": (LORA,),
    "lora_alpha": (LORA,),
    "lora_dropout": (LORA,),
    "target_modules": (LORA,),
    "target_parameters": (LORA,),
    "virtual_tokens": VIRTUAL,
}
"""Choices that mean something for these methods only."""
FIELDS_OF_OBJECTIVES: dict[str, tuple[str, ...]] = {
    "preference_beta": PREFERENCES,
    "distillation_temperature": (DISTILLATION,),
    "distillation_weight": (DISTILLATION,),
    "last_turn_only": (ANSWERS, DISTILLATION),
}
"""Choices that mean something for these objectives only."""


def guide_rate(method: str, objective: str) -> float:
    """Peak learning rate of preset guide."""
    rate = GUIDE_RATES.get(method, GUIDE_RATES[LORA])
    return rate * GUIDE_PREFERENCE_SHARE if objective in PREFERENCES else rate


def has_meaning(field: str, method: str, objective: str) -> bool:
    """Whether a choice of that name changes anything of such a run."""
    return method in FIELDS_OF_METHODS.get(field, (method,)) and objective in (
        FIELDS_OF_OBJECTIVES.get(field, (objective,))
    )


def errors_of_combination(method: str, objective: str) -> list[str]:
    """Why the two do not go together, or one of them is none; empty when nothing is wrong."""
    if method == QLORA:
        return [NO_QLORA]
    errors = []
    if method not in METHODS:
        errors.append(f"method must be one of {', '.join(METHODS)}")
    if objective not in OBJECTIVES:
        errors.append(f"objective must be one of {', '.join(OBJECTIVES)}")
    if (method, objective) == (FULL, KTO):
        errors.append(
            "objective kto does not go with method full: it asks the base about pairs of prompt "
            "and answer that each step makes anew, and a full run has no base left. Use dpo, or "
            "an adapter"
        )
    return errors


def errors_of_fields(given: set[str], method: str, objective: str) -> list[str]:
    """Choices that were made and mean nothing for such a run."""
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
