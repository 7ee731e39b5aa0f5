"""Rules of a policy, and what an entry has in common with a judge's: id, severity, directions.

A reader collects all that is wrong with an entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import re2

from modelmill_guard.detectors import DETECTOR_NAMES
from modelmill_guard.normalise import normalise
from modelmill_guard.pattern import PatternError, parse_pattern
from modelmill_guard.variants import VARIANTS
from modelmill_guard.verdict import Action, Direction

DIRECTIONS = {
    "input": frozenset({Direction.INPUT}),
    "output": frozenset({Direction.OUTPUT}),
    "both": frozenset(Direction),
}
ACTIONS = {action.name.lower(): action for action in (Action.FLAG, Action.MASK, Action.BLOCK)}

_ID = re2.compile(r"[a-z0-9][a-z0-9-]{0,62}")

ValueT = TypeVar("ValueT")


class Severity(StrEnum):
    """How bad a match is; for people who sort and count, it changes no verdict."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


SEVERITIES = {severity.value: severity for severity in Severity}


def directions_name(directions: frozenset[Direction]) -> str:
    """How a policy writes `directions`."""
    return next(name for name, value in DIRECTIONS.items() if value == directions)


class EntryReader:
    """Reads one entry and gathers what is wrong with it.

    Args:
        document: the name of the document, shown in errors.
        kind: what the entry is, shown in errors.
        number: its place among those of its kind, shown where it has no id.
    """

    def __init__(self, document: str, kind: str, number: int, written: object) -> None:
        self.errors: list[str] = []
        self._written: dict[Any, Any] = written if isinstance(written, dict) else {}
        entry_id = self._written.get("id")
        self._where = f"{document}: {kind} {entry_id if isinstance(entry_id, str) else number}"
        if not isinstance(written, dict):
            self._refuse("is not a mapping")

    def _refuse(self, message: str) -> None:
        self.errors.append(f"{self._where}: {message}")

    def _check_keys(self, known: frozenset[str]) -> None:
        for key in self._written.keys() - known:
            self._refuse(f"unknown key {key!r}")

    def _id(self) -> str:
        entry_id = self._written.get("id")
        if not isinstance(entry_id, str) or not entry_id.isascii() or not _ID.fullmatch(entry_id):
            self._refuse("id must be lower-case letters, digits and hyphens, at most 63")
        return str(entry_id)

    def _choice(
        self, key: str, choices: Mapping[str, ValueT], *, default: ValueT | None = None
    ) -> ValueT | None:
        if default is not None and key not in self._written:
            return default
        value = self._written.get(key)
        if isinstance(value, str) and value in choices:
            return choices[value]
        self._refuse(f"{key} must be one of {', '.join(choices)}")
        return None

    def _truth(self, key: str) -> bool:
        value = self._written.get(key, False)
        if not isinstance(value, bool):
            self._refuse(f"{key} must be true or false")
        return value is True


def is_category(category: object) -> bool:
    """Whether it can name what a match is about."""
    return isinstance(category, str) and bool(category) and category.isprintable()


MAX_KEYWORD_CHARACTERS = 128
"""Longest keyword, in shadow characters: the most a stream is held back for it."""

_KINDS = ("keywords", "pattern", "detector")
"""What a rule looks for: exactly one of them."""
_RULE_KEYS = frozenset(
    {"id", "category", "severity", "action", "directions", "within_words", "variants", *_KINDS}
)


@dataclass(frozen=True)
class Rule:
    """One thing to look for. One of `keywords`, `pattern` and `detector` is set."""

    id: str
    category: str
    severity: Severity
    action: Action
    directions: frozenset[Direction]
    keywords: tuple[str, ...] = ()
    """Phrases; found in any case, width, spelling with marks or look-alike letters."""
    within_words: bool = False
    """Whether keywords of spaced scripts also match within a longer word."""
    variants: tuple[str, ...] = ()
    """Further spellings in which the keywords are found, of `modelmill_guard.variants.VARIANTS`,
    sorted."""
    pattern: str | None = None
    """RE2 syntax of bounded width, matched without regard to case on the shadow copy."""
    detector: str | None = None
    """One of `modelmill_guard.detectors.DETECTOR_NAMES`."""

    @property
    def directions_name(self) -> str:
        """How the policy writes `directions`."""
        return directions_name(self.directions)


class RuleReader(EntryReader):
    """Reads one rule and gathers what is wrong with it."""

    def read(self) -> Rule | None:
        """The rule, or None when there are errors."""
        if self.errors:
            return None
        self._check_keys(_RULE_KEYS)
        rule_id, category = self._id(), self._category()
        severity = self._choice("severity", SEVERITIES)
        action = self._choice("action", ACTIONS)
        directions = self._choice("directions", DIRECTIONS)
        keywords, pattern, detector = self._keywords(), self._pattern(), self._detector()
        variants = self._variants()
        within_words = self._truth("within_words")
        if sum(kind in self._written for kind in _KINDS) != 1:
            self._refuse("needs either keywords or a pattern or a detector")
        if self.errors or severity is None or action is None or directions is None:
            return None
        return Rule(
            id=rule_id,
            category=category,
            severity=severity,
            action=action,
            directions=directions,
            keywords=keywords,
            within_words=within_words,
            variants=variants,
            pattern=pattern,
            detector=detector,
        )

    def _category(self) -> str:
        category = self._written.get("category")
        if not is_category(category):
            self._refuse("category must be a word, OpenAI's where one fits")
        return str(category)

    def _keywords(self) -> tuple[str, ...]:
        keywords = self._written.get("keywords", [""])
        if "keywords" not in self._written:
            return ()
        if not isinstance(keywords, list) or not keywords:
            self._refuse("keywords must be a list of at least one phrase")
            return ()
        for keyword in keywords:
            self._check_keyword(keyword)
        return tuple(map(str, keywords))

    def _check_keyword(self, keyword: object) -> None:
        if not isinstance(keyword, str):
            self._refuse(f"keyword {keyword!r} is not text. Put it in quotes")
            return
        length, most = len(normalise(keyword).strip()), MAX_KEYWORD_CHARACTERS
        if length == 0:
            self._refuse(f"keyword {keyword!r} has no visible character")
        if length > most:
            self._refuse(f"keyword {keyword[:20]!r}… has {length} characters; the limit is {most}")

    def _variants(self) -> tuple[str, ...]:
        written = self._written.get("variants", [])
        if "variants" in self._written and "keywords" not in self._written:
            self._refuse("variants are for keywords")
        if isinstance(written, list) and all(one in VARIANTS for one in written):
            return tuple(sorted(set(written)))
        self._refuse(f"variants must be a list of {', '.join(VARIANTS)}")
        return ()

    def _detector(self) -> str | None:
        if "detector" not in self._written:
            return None
        if "within_words" in self._written:
            self._refuse("within_words is for keywords; a detector knows its edges")
        return self._choice("detector", {name: name for name in DETECTOR_NAMES})

    def _pattern(self) -> str | None:
        if "pattern" not in self._written:
            return None
        pattern = self._written["pattern"]
        if not isinstance(pattern, str):
            self._refuse("pattern must be text")
            return None
        if "within_words" in self._written:
            self._refuse("within_words is for keywords. Write \\b in a pattern")
        try:
            parse_pattern(pattern)
        except PatternError as error:
            self._refuse(f"pattern {error}")
        return pattern
