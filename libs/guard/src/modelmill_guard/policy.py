"""Policies as people write them: YAML rules, validated with all errors at once."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol, TypeVar

import yaml

from modelmill_guard.judge import Judge, JudgeReader, OnFailure
from modelmill_guard.rule import Rule, RuleReader
from modelmill_guard.verdict import Direction


class WhenUnavailable(StrEnum):
    """What becomes of an input while the service that judges inputs does not answer."""

    CLOSED = "closed"
    """Nothing passes."""

    RULES_ONLY = "rules_only"
    """The policy's rules judge it where it arrives, and no record is kept."""


_BEHAVIOURS = {behaviour.value: behaviour for behaviour in WhenUnavailable}


def read_when_unavailable(
    name: str, document: Mapping[str, object], errors: list[str]
) -> Iterator[WhenUnavailable]:
    """What a document says, if it says anything."""
    written = document.get("when_unavailable")
    if isinstance(written, str) and written in _BEHAVIOURS:
        yield _BEHAVIOURS[written]
    elif "when_unavailable" in document:
        errors.append(f"{name}: when_unavailable must be one of {', '.join(_BEHAVIOURS)}")


def strictest(said: Iterable[WhenUnavailable]) -> WhenUnavailable:
    """Closed, unless all that was said is that rules may judge alone."""
    return min(said, default=WhenUnavailable.CLOSED, key=list(WhenUnavailable).index)


DEFAULT_MAX_CHECK_CHARACTERS = 100_000
MAX_CHECK_CHARACTERS = 1_000_000
MAX_RULES = 10_000
MAX_PATTERNS = 200
"""Each pattern is searched for in every piece of every text."""
MAX_JUDGES = 8
"""Each judge is asked about every window of every text."""

_NUMBERS = re.compile(r"([0-9]{1,18})")

EntryT_co = TypeVar("EntryT_co", covariant=True)

_POLICY_KEYS = frozenset(
    {"max_check_characters", "when_unavailable", "rules", "judges", "remove_default_rules"}
)


class PolicyError(ValueError):
    """The policy cannot be used. `errors` lists everything that is wrong with it."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


@dataclass(frozen=True)
class Policy:
    """Rules and judges with distinct ids, and how whole texts are judged."""

    rules: tuple[Rule, ...]
    max_check_characters: int = DEFAULT_MAX_CHECK_CHARACTERS
    when_unavailable: WhenUnavailable = WhenUnavailable.CLOSED
    judges: tuple[Judge, ...] = ()
    remove_default_rules: tuple[str, ...] = ()
    """Ids of default rules that do not judge beside these; see `modelmill_guard.layers`. Not in
    bundles."""


def parse_policy(documents: Mapping[str, str]) -> Policy:
    """One policy from YAML documents, by name; the strictest setting counts.

    An error begins with the document and, where it has one, the line: `ours.yaml:7: rule …`.

    Raises:
        PolicyError: all that is wrong, in all documents.
    """
    objects: dict[str, object] = {}
    errors: list[str] = []
    for name, text in documents.items():
        try:
            objects[name] = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            # The last is of dates and numbers that only look like some.
            errors.append(f"{name}{_line_of(error)}: not YAML: {' '.join(str(error).split())}")
    try:
        policy = policy_from_objects(objects)
    except PolicyError:
        # Lines are looked for once something is wrong: that takes as long as to read it all.
        lines = DocumentLines({name: documents[name] for name in objects})
        errors.extend(_errors_of(objects, lines))
        raise PolicyError(errors) from None
    if errors:
        raise PolicyError(errors)
    return policy


def _line_of(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f":{mark.line + 1}"


def _errors_of(objects: Mapping[str, object], lines: "DocumentLines") -> list[str]:
    try:
        policy_from_objects(objects, lines)
    except PolicyError as error:
        return error.errors
    return []


class DocumentLines:
    """Lines of YAML documents on which their keys stand, and the entries of lists below these."""

    def __init__(self, documents: Mapping[str, str]) -> None:
        self._lines = {name: dict(_lines_in(text)) for name, text in documents.items()}

    def place(self, name: str, key: object, number: int = 0) -> str:
        """The document's name, with the line of a key or of the entry with that number below it."""
        line = self._lines.get(name, {}).get((str(key), number))
        return name if line is None else f"{name}:{line}"


NO_LINES = DocumentLines({})


def _lines_in(text: str) -> Iterator[tuple[tuple[str, int], int]]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        yield (str(key.value), 0), key.start_mark.line + 1
        entries = value.value if isinstance(value, yaml.SequenceNode) else ()
        for number, entry in enumerate(entries, 1):
            yield (str(key.value), number), entry.start_mark.line + 1


def policy_from_objects(documents: Mapping[str, object], lines: DocumentLines = NO_LINES) -> Policy:
    """One policy from documents that YAML or JSON gave, by name.

    Args:
        lines: of the documents, for errors.

    Raises:
        PolicyError: all that is wrong, in all documents.
    """
    errors: list[str] = []
    rules: list[Rule] = []
    judges: list[Judge] = []
    limits: list[int] = []
    behaviours: list[WhenUnavailable] = []
    removed: set[str] = set()
    for name, document in documents.items():
        if not isinstance(document, dict):
            errors.append(f"{name}: a policy is a mapping with `rules`")
            continue
        at = partial(lines.place, name)
        errors.extend(f"{at(it)}: unknown key {it!r}" for it in document.keys() - _POLICY_KEYS)
        limits.append(_limit(at("max_check_characters"), document, errors))
        behaviours.extend(read_when_unavailable(at("when_unavailable"), document, errors))
        removed.update(_removed(at("remove_default_rules"), document, errors))
        if "rules" in document or "judges" not in document:
            rules.extend(_entries(at, document, "rules", RuleReader, errors))
        if "judges" in document:
            judges.extend(_entries(at, document, "judges", JudgeReader, errors))
    policy = Policy(
        tuple(rules),
        min(limits, default=DEFAULT_MAX_CHECK_CHARACTERS),
        strictest(behaviours),
        tuple(judges),
        tuple(sorted(removed)),
    )
    errors.extend(wrong_together(policy))
    if errors:
        raise PolicyError(sorted(errors, key=_by_line))
    return policy


def _by_line(error: str) -> list[str | int]:
    """As text, but numbers by their size: line 12 comes behind line 7."""
    parts = _NUMBERS.split(error)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def wrong_together(policy: Policy) -> Iterator[str]:
    """What is wrong with the rules and judges of a policy as a whole."""
    yield from _repeated_ids(policy)
    if len(policy.rules) > MAX_RULES:
        yield f"{len(policy.rules)} rules; the limit is {MAX_RULES}"
    patterns = sum(not rule.keywords for rule in policy.rules)
    if patterns > MAX_PATTERNS:
        yield f"{patterns} rules with a pattern or detector; the limit is {MAX_PATTERNS}"
    if len(policy.judges) > MAX_JUDGES:
        yield f"{len(policy.judges)} judges; the limit is {MAX_JUDGES}"
    if policy.when_unavailable is WhenUnavailable.RULES_ONLY:
        for judge in policy.judges:
            if judge.on_failure is OnFailure.CLOSED and Direction.INPUT in judge.directions:
                yield f"judge {judge.id}: `when_unavailable: rules_only` needs `on_failure: open`"


def _limit(name: str, document: Mapping[str, object], errors: list[str]) -> int:
    limit = document.get("max_check_characters", DEFAULT_MAX_CHECK_CHARACTERS)
    if type(limit) is not int or not 1 <= limit <= MAX_CHECK_CHARACTERS:
        errors.append(
            f"{name}: max_check_characters must be a whole number from 1 to {MAX_CHECK_CHARACTERS}"
        )
        return DEFAULT_MAX_CHECK_CHARACTERS
    return limit


def _removed(name: str, document: Mapping[str, object], errors: list[str]) -> Sequence[str]:
    written = document.get("remove_default_rules", [])
    if isinstance(written, list) and all(isinstance(rule, str) for rule in written):
        return written
    errors.append(f"{name}: remove_default_rules must be a list of ids of default rules")
    return ()


def _repeated_ids(policy: Policy) -> Iterator[str]:
    seen: set[str] = set()
    kinds: dict[str, Sequence[Rule | Judge]] = {"rule": policy.rules, "judge": policy.judges}
    for kind, entries in kinds.items():
        for entry in entries:
            if entry.id in seen:
                yield f"{kind} {entry.id}: the id is used twice"
            seen.add(entry.id)


class _Placing(Protocol):
    def __call__(self, key: object, number: int = 0) -> str: ...


class _Reader(Protocol[EntryT_co]):
    errors: list[str]

    def read(self) -> EntryT_co | None: ...


def _entries(
    at: "_Placing",
    document: Mapping[str, object],
    key: str,
    reader_of: Callable[[str, str, int, object], _Reader[EntryT_co]],
    errors: list[str],
) -> Iterator[EntryT_co]:
    written = document.get(key)
    if not isinstance(written, list):
        errors.append(f"{at(key)}: `{key}` must be a list")
        return
    for number, entry in enumerate(written, 1):
        reader = reader_of(at(key, number), key.removesuffix("s"), number, entry)
        read = reader.read()
        errors.extend(reader.errors)
        if read is not None:
            yield read
