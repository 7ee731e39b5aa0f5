"""Judges of a policy: models or services that classify windows of a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from modelmill_guard.rule import (
    ACTIONS,
    DIRECTIONS,
    SEVERITIES,
    EntryReader,
    Severity,
    directions_name,
    is_category,
)
from modelmill_guard.verdict import Action, Direction, RuleMatch

DEFAULT_WINDOW = 400
MIN_WINDOW, MAX_WINDOW = 50, 4000
MAX_LABELS = 32
MAX_INSTRUCTION_CHARACTERS = 2000
DEFAULT_INSTRUCTION = "Say in one word what is wrong with the text, or that it is safe."

_KEYS = frozenset(
    {"id", "severity", "action", "directions", "threshold", "window", "beside", "on_failure"}
    | {"classifier", "labels", "instruction", "service", "categories"}
)


class OnFailure(StrEnum):
    """What becomes of a window on which a judge gives no opinion."""

    CLOSED = "closed"
    """It does not pass."""
    OPEN = "open"
    """It passes, and the verdict names the judge."""


_FAILURES = {behaviour.value: behaviour for behaviour in OnFailure}


class Window(NamedTuple):
    """A part of a text, at a place that no cut of a stream moves."""

    start: int
    """First character in the whole text."""
    context: str
    """What stands directly before it."""
    text: str


class Opinion(NamedTuple):
    """How sure a judge is that a window is of a category."""

    category: str
    score: float
    """0 to 1."""


@dataclass(frozen=True)
class Judge:
    """Who is asked, and what follows. One of `classifier` and `service` is set."""

    id: str
    severity: Severity
    action: Action
    """Mask hides the whole window."""
    directions: frozenset[Direction]
    threshold: float
    """From this score on a category is a match."""
    window: int = DEFAULT_WINDOW
    """Characters that are judged at a time."""
    beside: bool = False
    """Text is shown while its window is judged: a block may come one window late."""
    on_failure: OnFailure = OnFailure.CLOSED
    classifier: str | None = None
    """Alias of the model that answers with a label."""
    labels: tuple[tuple[str, str | None], ...] = ()
    """Its labels and the category of each; None where nothing is wrong."""
    instruction: str = DEFAULT_INSTRUCTION
    """What the model is told before the text."""
    service: str | None = None
    """Name under which the operator configured the service."""
    categories: tuple[tuple[str, str], ...] = ()
    """The service's categories that count, and ours for each."""

    @property
    def holds(self) -> bool:
        """Whether text waits for its window's verdict."""
        return self.action > Action.FLAG and not self.beside

    def matches(self, window: Window, opinions: Sequence[Opinion]) -> tuple[RuleMatch, ...]:
        """What the opinions come to: one match for each category that reaches the threshold."""
        scores: dict[str, float] = {}
        for category, score in opinions:
            if score >= self.threshold:
                scores[category] = max(score, scores.get(category, 0.0))
        end = window.start + len(window.text)
        return tuple(
            RuleMatch(self.id, category, self.action, window.start, end, score)
            for category, score in sorted(scores.items())
        )

    def as_object(self) -> dict[str, object]:
        """As a policy writes it."""
        written: dict[str, object] = {
            "id": self.id,
            "severity": self.severity.value,
            "action": self.action.name.lower(),
            "directions": directions_name(self.directions),
            "threshold": self.threshold,
            "window": self.window,
            "beside": self.beside,
            "on_failure": self.on_failure.value,
        }
        if self.classifier is None:
            return written | {"service": self.service, "categories": dict(self.categories)}
        return written | {
            "classifier": self.classifier,
            "labels": dict(self.labels),
            "instruction": self.instruction,
        }


class JudgeReader(EntryReader):
    """Reads one judge and gathers what is wrong with it."""

    def read(self) -> Judge | None:
        """The judge, or None when there are errors."""
        if self.errors:
            return None
        self._check_keys(_KEYS)
        judge_id = self._id()
        severity = self._choice("severity", SEVERITIES)
        action = self._choice("action", ACTIONS)
        directions = self._choice("directions", DIRECTIONS)
        threshold, window, beside = self._threshold(), self._window(), self._beside(action)
        behaviour = self._choice("on_failure", _FAILURES, default=OnFailure.CLOSED)
        classifier, service = self._name("classifier"), self._name("service")
        labels, categories = self._labels(), self._categories()
        instruction = self._instruction()
        if ("classifier" in self._written) == ("service" in self._written):
            self._refuse("needs either a classifier or a service")
        if self.errors or not (severity and action and directions and behaviour):
            return None
        return Judge(
            id=judge_id,
            severity=severity,
            action=action,
            directions=directions,
            threshold=threshold,
            window=window,
            beside=beside,
            on_failure=behaviour,
            classifier=classifier,
            labels=labels,
            instruction=instruction,
            service=service,
            categories=categories,
        )

    def _threshold(self) -> float:
        value = self._written.get("threshold")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            self._refuse("threshold must be a number above 0 and at most 1")
            return 1.0
        return float(value)

    def _window(self) -> int:
        value = self._written.get("window", DEFAULT_WINDOW)
        if type(value) is not int or not MIN_WINDOW <= value <= MAX_WINDOW:
            self._refuse(f"window must be a whole number from {MIN_WINDOW} to {MAX_WINDOW}")
            return DEFAULT_WINDOW
        return value

    def _beside(self, action: Action | None) -> bool:
        beside = self._truth("beside")
        if beside and action is not Action.BLOCK:
            self._refuse("beside is for action block: what was shown cannot be masked any more")
        return beside

    def _name(self, key: str) -> str | None:
        if key not in self._written:
            return None
        value = self._written[key]
        if not isinstance(value, str) or not 1 <= len(value) <= 128 or not value.isprintable():
            self._refuse(f"{key} must be a name")
        return str(value)

    def _labels(self) -> tuple[tuple[str, str | None], ...]:
        written = self._pairs("labels", "classifier")
        for label, category in written.items():
            if not is_category(label) or (category is not None and not is_category(category)):
                self._refuse("labels must be words, each with a category or null")
        kinds = {category is None for category in written.values()}
        if "classifier" in self._written and kinds != {True, False}:
            self._refuse("labels must have one for what is safe (null) and one for what is not")
        return tuple(sorted(written.items()))

    def _categories(self) -> tuple[tuple[str, str], ...]:
        written = self._pairs("categories", "service")
        for theirs, ours in written.items():
            if not is_category(theirs) or not is_category(ours):
                self._refuse("categories must be words, each with a category of ours")
        if "service" in self._written and not written:
            self._refuse("categories must name those that count")
        return tuple(sorted(written.items()))

    def _pairs(self, key: str, belongs_to: str) -> dict[str, str]:
        if key not in self._written:
            return {}
        if belongs_to not in self._written:
            self._refuse(f"{key} are for a {belongs_to}")
        written = self._written[key]
        is_mapping = isinstance(written, dict) and 0 < len(written) <= MAX_LABELS
        if is_mapping and all(isinstance(name, str) for name in written):
            return dict(written)
        self._refuse(f"{key} must be a mapping of 1 to {MAX_LABELS} words")
        return {}

    def _instruction(self) -> str:
        written = self._written.get("instruction", DEFAULT_INSTRUCTION)
        if "instruction" in self._written and "classifier" not in self._written:
            self._refuse("instruction is for a classifier")
        most = MAX_INSTRUCTION_CHARACTERS
        if not isinstance(written, str) or not 1 <= len(written) <= most:
            self._refuse(f"instruction must be text of at most {most} characters")
        return str(written)
