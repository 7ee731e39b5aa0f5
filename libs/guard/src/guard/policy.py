"""Policies as people write them: YAML rules, validated with all errors at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import re2
import yaml

from guard.detectors import DETECTOR_NAMES
from guard.normalise import normalise
from guard.pattern import PatternError, parse_pattern
from guard.variants import VARIANTS
from guard.verdict import Action, Direction
from guard.when_unavailable import WhenUnavailable, read_when_unavailable, strictest

DEFAULT_MAX_CHECK_CHARACTERS = 100_000
MAX_CHECK_CHARACTERS = 1_000_000
MAX_KEYWORD_CHARACTERS = 128
"""Longest keyword, in shadow characters: the most a stream is held back for it."""
MAX_RULES = 10_000
MAX_PATTERNS = 200
"""Each pattern is searched for in every piece of every text."""

_ID = re2.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_DIRECTIONS = {
    "input": frozenset({Direction.INPUT}),
    "output": frozenset({Direction.OUTPUT}),
    "both": frozenset(Direction),
}
_ACTIONS = {action.name.lower(): action for action in (Action.FLAG, Action.MASK, Action.BLOCK)}
_POLICY_KEYS = frozenset({"max_check_characters", "when_unavailable", "rules"})
_KINDS = ("keywords", "pattern", "detector")
"""What a rule looks for: exactly one of them."""
_RULE_KEYS = frozenset(
    {"id", "category", "severity", "action", "directions", "within_words", "variants", *_KINDS}
)

ValueT = TypeVar("ValueT")


class PolicyError(ValueError):
    """The policy cannot be used. `errors` lists everything that is wrong with it."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


class Severity(StrEnum):
    """How bad a match is; for people who sort and count, it changes no verdict."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


_SEVERITIES = {severity.value: severity for severity in Severity}


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
    """Further spellings in which the keywords are found, of `guard.variants.VARIANTS`, sorted."""
    pattern: str | None = None
    """RE2 syntax of bounded width, matched without regard to case on the shadow copy."""
    detector: str | None = None
    """One of `guard.detectors.DETECTOR_NAMES`."""

    @property
    def directions_name(self) -> str:
        """How the policy writes `directions`."""
        return next(name for name, value in _DIRECTIONS.items() if value == self.directions)


@dataclass(frozen=True)
class Policy:
    """Rules with distinct ids, the longest text that is judged whole, and who else may judge."""

    rules: tuple[Rule, ...]
    max_check_characters: int = DEFAULT_MAX_CHECK_CHARACTERS
    when_unavailable: WhenUnavailable = WhenUnavailable.CLOSED


def parse_policy(documents: Mapping[str, str]) -> Policy:
    """One policy from YAML documents, by name (shown in errors); the strictest setting counts.

    Raises:
        PolicyError: all that is wrong, in all documents.
    """
    objects: dict[str, object] = {}
    errors: list[str] = []
    for name, text in documents.items():
        try:
            objects[name] = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            errors.append(f"{name}: not YAML: {' '.join(str(error).split())}")
    try:
        policy = policy_from_objects(objects)
    except PolicyError as error:
        raise PolicyError(errors + error.errors) from error
    if errors:
        raise PolicyError(errors)
    return policy


def policy_from_objects(documents: Mapping[str, object]) -> Policy:
    """One policy from documents that YAML or JSON gave, by name.

    Raises:
        PolicyError: all that is wrong, in all documents.
    """
    errors: list[str] = []
    rules: list[Rule] = []
    limits: list[int] = []
    behaviours: list[WhenUnavailable] = []
    for name, document in documents.items():
        if not isinstance(document, dict):
            errors.append(f"{name}: a policy is a mapping with `rules`")
            continue
        errors.extend(f"{name}: unknown key {key!r}" for key in document.keys() - _POLICY_KEYS)
        limits.append(_limit(name, document, errors))
        behaviours.extend(read_when_unavailable(name, document, errors))
        rules.extend(_rules(name, document.get("rules"), errors))
    errors.extend(_repeated_ids(rules))
    if len(rules) > MAX_RULES:
        errors.append(f"{len(rules)} rules; the limit is {MAX_RULES}")
    patterns = sum(not rule.keywords for rule in rules)
    if patterns > MAX_PATTERNS:
        errors.append(f"{patterns} rules with a pattern or detector; the limit is {MAX_PATTERNS}")
    if errors:
        raise PolicyError(sorted(errors))
    return Policy(
        tuple(rules),
        min(limits, default=DEFAULT_MAX_CHECK_CHARACTERS),
        strictest(behaviours),
    )


def _limit(name: str, document: Mapping[str, object], errors: list[str]) -> int:
    limit = document.get("max_check_characters", DEFAULT_MAX_CHECK_CHARACTERS)
    if type(limit) is not int or not 1 <= limit <= MAX_CHECK_CHARACTERS:
        errors.append(
            f"{name}: max_check_characters must be a whole number from 1 to {MAX_CHECK_CHARACTERS}"
        )
        return DEFAULT_MAX_CHECK_CHARACTERS
    return limit


def _repeated_ids(rules: list[Rule]) -> Iterator[str]:
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            yield f"rule {rule.id}: the id is used twice"
        seen.add(rule.id)


def _rules(name: str, written: object, errors: list[str]) -> Iterator[Rule]:
    if not isinstance(written, list):
        errors.append(f"{name}: `rules` must be a list")
        return
    for number, rule in enumerate(written, 1):
        reader = _RuleReader(name, number, rule)
        read = reader.read()
        errors.extend(reader.errors)
        if read is not None:
            yield read


class _RuleReader:
    """Reads one rule and gathers what is wrong with it."""

    def __init__(self, document: str, number: int, written: object) -> None:
        self.errors: list[str] = []
        self._written: dict[Any, Any] = written if isinstance(written, dict) else {}
        rule_id = self._written.get("id")
        self._where = f"{document}: rule {rule_id if isinstance(rule_id, str) else number}"
        if not isinstance(written, dict):
            self._refuse("is not a mapping")

    def _refuse(self, message: str) -> None:
        self.errors.append(f"{self._where}: {message}")

    def read(self) -> Rule | None:
        """The rule, or None when there are errors."""
        if self.errors:
            return None
        for key in self._written.keys() - _RULE_KEYS:
            self._refuse(f"unknown key {key!r}")
        rule_id, category = self._id(), self._category()
        severity = self._choice("severity", _SEVERITIES)
        action = self._choice("action", _ACTIONS)
        directions = self._choice("directions", _DIRECTIONS)
        keywords, pattern, detector = self._keywords(), self._pattern(), self._detector()
        variants = self._variants()
        within_words = self._written.get("within_words", False)
        if not isinstance(within_words, bool):
            self._refuse("within_words must be true or false")
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

    def _id(self) -> str:
        rule_id = self._written.get("id")
        if not isinstance(rule_id, str) or not rule_id.isascii() or not _ID.fullmatch(rule_id):
            self._refuse("id must be lower-case letters, digits and hyphens, at most 63")
        return str(rule_id)

    def _category(self) -> str:
        category = self._written.get("category")
        if not isinstance(category, str) or not category or not category.isprintable():
            self._refuse("category must be a word, OpenAI's where one fits")
        return str(category)

    def _choice(self, key: str, choices: Mapping[str, ValueT]) -> ValueT | None:
        value = self._written.get(key)
        if isinstance(value, str) and value in choices:
            return choices[value]
        self._refuse(f"{key} must be one of {', '.join(choices)}")
        return None

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
            self._refuse(f"keyword {keyword!r} is not text; put it in quotes")
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
            self._refuse("within_words is for keywords; write \\b in a pattern")
        try:
            parse_pattern(pattern)
        except PatternError as error:
            self._refuse(f"pattern {error}")
        return pattern
