"""Validated options for personal data, and the spans and types of entities."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, cast, get_args

from modelmill_service_kit.errors import InvalidInputError

TYPES = (
    "secret",
    "url_credentials",
    "email",
    "iban",
    "cn_id",
    "cn_credit_code",
    "card",
    "us_ssn",
    "uk_nino",
    "cn_passport",
    "passport",
    "phone",
    "chat_account",
    "ip",
    "cn_plate",
    "birth_date",
    "address",
    "person",
    "organisation",
)
"""All types, in order of precedence for equal spans."""

MODEL_TYPES = ("organisation",)
"""Types that need a spaCy pipeline."""

_RANK = {name: rank for rank, name in enumerate(TYPES)}


class Span(NamedTuple):
    """An entity at characters `start` to `end` (exclusive) of a text."""

    type: str
    start: int
    end: int


class EntityFinder(Protocol):
    """Deterministic entity finder."""

    def __call__(self, texts: Sequence[str]) -> list[list[Span]]:
        """Spans per text; they may overlap."""


def without_overlaps(spans: Iterable[Span], *, beside: Sequence[Span] = ()) -> list[Span]:
    """Resolve overlaps in favour of longer spans, then by `TYPES`; sorted by position.

    Args:
        beside: Spans with precedence, which do not overlap each other.
    """
    ranked = [*beside, *spans]
    if len(ranked) < 2:
        return ranked
    ranked[len(beside) :] = sorted(ranked[len(beside) :], key=_before_others)
    taken = bytearray(max(span.end for span in ranked))
    kept: list[Span] = []
    for span in ranked:
        if taken.find(1, span.start, span.end) < 0:
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)


def _before_others(span: Span) -> tuple[int, int, int]:
    return span.start - span.end, _RANK[span.type], span.start


Action = Literal["mask", "pseudonymise", "drop", "report", "keep"]
ACTIONS: tuple[Action, ...] = get_args(Action)
ALL_OTHERS = "*"
MODEL_LANGUAGES = ("zh", "en")


@dataclass(frozen=True)
class EntityPlan:
    """Action per entity type; types without an action are not searched."""

    actions: Mapping[str, Action] = field(default_factory=dict)
    """Action by type, in the order of `TYPES`, without "keep"."""

    spacy_models: Mapping[str, str] = field(default_factory=dict)
    """Installed spaCy pipelines by language."""

    @property
    def is_off(self) -> bool:
        return not self.actions

    @property
    def needs_key(self) -> bool:
        """Whether pseudonyms are needed."""
        return "pseudonymise" in self.actions.values()


def plan_entities(spec: Mapping[str, Any]) -> EntityPlan:
    """Validate an `EntitySpec`, given as a mapping.

    Raises:
        InvalidInputError: Lists every error.
    """
    named = {str(name): str(action) for name, action in spec.get("actions", {}).items()}
    models = {str(name): str(model) for name, model in spec.get("spacy_models", {}).items()}
    errors = [
        f"entities: unknown type {name[:64]!r}. Use {', '.join((*TYPES, ALL_OTHERS))}"
        for name in named
        if name not in (*TYPES, ALL_OTHERS)
    ]
    errors += [
        f"entities: unknown action {action[:64]!r} for {name[:64]}. Use {', '.join(ACTIONS)}"
        for name, action in named.items()
        if action not in ACTIONS
    ]
    errors += [
        f"entities: no spaCy pipeline is used for language {name[:64]!r}. Use "
        + ", ".join(MODEL_LANGUAGES)
        for name in models
        if name not in MODEL_LANGUAGES
    ]
    if not models:
        errors += [
            f"entities: {name} is found by spaCy pipelines alone. Name one in spacy_models"
            for name in MODEL_TYPES
            if named.get(name, "keep") != "keep"
        ]
    if errors:
        raise InvalidInputError(errors)
    known = TYPES if models else tuple(name for name in TYPES if name not in MODEL_TYPES)
    chosen = {name: named.get(name, named.get(ALL_OTHERS, "keep")) for name in known}
    actions = {name: cast(Action, action) for name, action in chosen.items() if action != "keep"}
    return EntityPlan(actions, models)
