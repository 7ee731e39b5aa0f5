"""Validated augmentation options, and the similarity by character bigrams that they limit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.text_form import comparison_key

_GRAM = 2


@dataclass(frozen=True)
class SimilarityLimits:
    """Minimum and maximum Jaccard similarity of character bigrams, to the original text."""

    least: float = 0.5
    most: float = 0.98

    def allow(self, text: str, new: str) -> bool:
        """Whether the similarity of `new` is within the limits."""
        return self.least <= pair_similarity(text, new) <= self.most


def pair_similarity(left: str, right: str) -> float:
    """Jaccard similarity of the character bigrams of two normalised texts."""
    one, other = _pairs(comparison_key(left)), _pairs(comparison_key(right))
    return len(one & other) / len(one | other) if one or other else 1.0


def _pairs(text: str) -> set[str]:
    return {text[place : place + _GRAM] for place in range(max(len(text) - _GRAM + 1, 1))} - {""}


MAX_STEPS = 8
Method = Literal["synonyms", "back_translation", "paraphrase"]
METHODS: tuple[Method, ...] = ("synonyms", "back_translation", "paraphrase")


@dataclass(frozen=True)
class AugmentStep:
    """One augmentation method with its share of rows."""

    method: Method
    share: float
    limits: SimilarityLimits = field(default_factory=SimilarityLimits)
    model: str = ""
    """Empty for methods without a model."""

    @property
    def asks_model(self) -> bool:
        """Whether the method uses a model."""
        return bool(self.model)


@dataclass(frozen=True)
class AugmentPlan:
    """Validated options with defaults."""

    steps: tuple[AugmentStep, ...] = ()

    @property
    def by_words(self) -> tuple[AugmentStep, ...]:
        """Steps without a model."""
        return tuple(step for step in self.steps if not step.asks_model)

    @property
    def by_models(self) -> tuple[AugmentStep, ...]:
        """Steps that use a model."""
        return tuple(step for step in self.steps if step.asks_model)


def plan_augment(spec: Mapping[str, Any]) -> AugmentPlan:
    """Validate a `modelmill.data_prep.v1.AugmentSpec`, given as a mapping.

    Raises:
        InvalidInputError: Lists every error.
    """
    errors: list[str] = []
    wanted = list(spec.get("steps", []))
    if len(wanted) > MAX_STEPS:
        errors.append(f"augment: at most {MAX_STEPS} steps, got {len(wanted)}")
    steps = []
    for number, one in enumerate(wanted[:MAX_STEPS], start=1):
        step, wrong = _plan_step(one)
        errors += [f"augment: step {number}: {what}" for what in wrong]
        steps.append(step)
    seen: dict[tuple[str, str], int] = {}
    for number, step in enumerate(steps, start=1):
        first = seen.setdefault((step.method, step.model), number)
        if first != number:
            errors.append(f"augment: step {number}: the same as step {first}. Give one a share")
    if errors:
        raise InvalidInputError(errors)
    return AugmentPlan(tuple(steps))


def _plan_step(spec: Mapping[str, Any]) -> tuple[AugmentStep, list[str]]:
    errors: list[str] = []
    method = spec.get("method", "")
    model = str(spec.get("model", ""))
    if method not in METHODS:
        errors.append(f"method must be one of {', '.join(METHODS)}, got {str(method)[:64]!r}")
    elif method == "synonyms" and model:
        errors.append("method synonyms uses no model. Leave model out")
    elif method != "synonyms" and not model:
        errors.append(f"model is missing. Name the model for {method}")
    share = float(spec.get("share", 0))
    if not 0 < share <= 1:
        errors.append(f"share must be above 0 and at most 1, got {share:g}")
    default = SimilarityLimits()
    least = float(spec.get("min_similarity", 0)) or default.least
    most = float(spec.get("max_similarity", 0)) or default.most
    if not (0 <= least <= 1 and 0 <= most <= 1):
        errors.append(
            f"min_similarity and max_similarity must be between 0 and 1, got {least:g} and {most:g}"
        )
    elif least >= most:
        errors.append(f"min_similarity must be below max_similarity, got {least:g} and {most:g}")
    return AugmentStep(method, share, SimilarityLimits(least, most), model), errors
