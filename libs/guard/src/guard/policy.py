"""Policies as people write them: YAML rules, validated with all errors at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from guard.rule import Rule, RuleReader
from guard.when_unavailable import WhenUnavailable, read_when_unavailable, strictest

DEFAULT_MAX_CHECK_CHARACTERS = 100_000
MAX_CHECK_CHARACTERS = 1_000_000
MAX_RULES = 10_000
MAX_PATTERNS = 200
"""Each pattern is searched for in every piece of every text."""

_POLICY_KEYS = frozenset({"max_check_characters", "when_unavailable", "rules"})


class PolicyError(ValueError):
    """The policy cannot be used. `errors` lists everything that is wrong with it."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


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
        reader = RuleReader(name, "rule", number, rule)
        read = reader.read()
        errors.extend(reader.errors)
        if read is not None:
            yield read
