"""Compiled policies: canonical bytes named by their digest, and their evaluation."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from threading import Lock

import yaml

from modelmill_guard.detectors import detector_pattern
from modelmill_guard.han_ways import PINYIN
from modelmill_guard.judge import Judge
from modelmill_guard.normalise import normalise
from modelmill_guard.pattern import BoundedPattern, PatternError, parse_pattern
from modelmill_guard.policy import Policy, PolicyError, WhenUnavailable, policy_from_objects
from modelmill_guard.rule import MAX_KEYWORD_CHARACTERS, Rule
from modelmill_guard.scan import RuleSet
from modelmill_guard.stream import StreamGuard
from modelmill_guard.variants import LEET, OF_HAN, has_leet, in_pinyin
from modelmill_guard.verdict import Action, Direction, RuleHead, Verdict


def rule_sets(
    policy: Policy, direction: Direction, built: dict[tuple[str, ...], RuleSet]
) -> tuple[RuleSet, RuleSet]:
    """Rules that hold text back, and rules that only watch; equal sets are built once."""
    rules = [rule for rule in policy.rules if direction in rule.directions]
    try:
        return (
            _rule_set([rule for rule in rules if rule.action > Action.FLAG], built),
            _rule_set([rule for rule in rules if rule.action <= Action.FLAG], built),
        )
    except PatternError as error:
        raise PolicyError([f"the patterns together: {error}"]) from error


def _pattern_of(rule: Rule) -> BoundedPattern | None:
    if rule.detector is not None:
        return detector_pattern(rule.detector)
    return None if rule.pattern is None else parse_pattern(rule.pattern)


def _rule_set(rules: list[Rule], built: dict[tuple[str, ...], RuleSet]) -> RuleSet:
    ids = tuple(rule.id for rule in rules)
    if ids not in built:
        built[ids] = _build(rules)
    return built[ids]


def _spelled(rule: Rule) -> list[str]:
    """Its keywords, and those that are their pinyin."""
    if PINYIN not in rule.variants:
        return list(rule.keywords)
    listed = {one for keyword in rule.keywords for one in in_pinyin(keyword)}
    return [*rule.keywords, *(one for one in listed if len(one) <= MAX_KEYWORD_CHARACTERS)]


def _build(rules: list[Rule]) -> RuleSet:
    spelled = {rule.id: _spelled(rule) for rule in rules}
    heads = {rule.id: RuleHead(rule.id, rule.category, rule.action) for rule in rules}
    return RuleSet(
        keywords=[
            (keyword, heads[rule.id], rule.within_words)
            for rule in rules
            for keyword in spelled[rule.id]
        ],
        leet=[
            (keyword, heads[rule.id], rule.within_words)
            for rule in rules
            if LEET in rule.variants
            for keyword in spelled[rule.id]
            if has_leet(keyword)
        ],
        mixed=[
            (keyword, heads[rule.id], rule.variants)
            for rule in rules
            if not OF_HAN.isdisjoint(rule.variants)
            for keyword in rule.keywords
            if not keyword.isascii() and any(map(str.isalnum, keyword))
        ],
        patterns=[
            (pattern, heads[rule.id])
            for rule in rules
            if (pattern := _pattern_of(rule)) is not None
        ],
    )


FORMAT = "modelmill.guard/8"
"""Changes when the same bytes would judge differently: rules' meaning, normalisation."""
_PIECE_CHARACTERS = 4096
"""A whole text is judged in pieces of this size, which bounds what one search looks at."""
_STEP_CHARACTERS = 128
"""Or of this size, where others wait for each piece."""


class TextTooLongError(ValueError):
    """The text is longer than the policy allows."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"the text has {length} characters; the limit is {limit}")
        self.limit = limit


@dataclass(frozen=True)
class Bundle:
    """What is published and stored of a compiled policy."""

    content: bytes
    """Canonical JSON: equal policies give equal bytes."""
    digest: str
    """"sha256:<hex>" of `content`."""


def compile_policy(policy: Policy) -> Bundle:
    """The canonical bundle of a policy, once its automata could be built.

    Raises:
        PolicyError: its patterns are more than can be matched together.
    """
    policy = expanded(policy)
    bundle = _bundle_of(policy)
    _recent.get(bundle.digest, lambda: policy)
    return bundle


def _bundle_of(policy: Policy) -> Bundle:
    rules = [_rule_object(rule) for rule in sorted(policy.rules, key=lambda rule: rule.id)]
    written: dict[str, object] = {
        "max_check_characters": policy.max_check_characters,
        "rules": rules,
    }
    if policy.when_unavailable is not WhenUnavailable.CLOSED:
        written["when_unavailable"] = policy.when_unavailable.value
    if policy.judges:
        judges = sorted(policy.judges, key=lambda judge: judge.id)
        written["judges"] = [judge.as_object() for judge in judges]
    content = _canonical({"format": FORMAT, "policy": written})
    return Bundle(content, digest_of(content))


def digest_of(content: bytes) -> str:
    """Name of a bundle's bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def policy_of(content: bytes) -> Policy:
    """The policy in a bundle that is known to be valid; PolicyError otherwise."""
    return expanded(policy_from_objects({"bundle": json.loads(content)["policy"]}))


def as_yaml(content: bytes, only: Collection[str] | None = None) -> str:
    """A bundle as a document that compiles to it.

    Args:
        only: ids of the rules and judges to write; None writes all.
    """
    policy = json.loads(content)["policy"]
    if only is not None:
        for key in ("rules", "judges"):
            if key in policy:
                policy[key] = [entry for entry in policy[key] if entry["id"] in only]
    return str(yaml.safe_dump(policy, allow_unicode=True, sort_keys=False, width=100))


class CompiledPolicy:
    """A policy ready to judge; immutable, shared by all texts."""

    def __init__(self, policy: Policy, digest: str) -> None:
        """Use `from_bundle`, which verifies that policy and digest belong together."""
        self.digest = digest
        self._policy = policy
        self._building = Lock()
        self._strict: CompiledPolicy | None = None
        self.max_check_characters = policy.max_check_characters
        self.when_unavailable = policy.when_unavailable
        self._judges = {
            direction: tuple(judge for judge in policy.judges if direction in judge.directions)
            for direction in Direction
        }
        built: dict[tuple[str, ...], RuleSet] = {}
        self._rules = {direction: rule_sets(policy, direction, built) for direction in Direction}

    @classmethod
    def from_bundle(cls, content: bytes, digest: str | None = None) -> "CompiledPolicy":
        """Verify a bundle and build its automata.

        Args:
            content: what `compile_policy` made.
            digest: what the bundle was announced as; None accepts whatever the bytes are.

        Raises:
            PolicyError: the bytes are not a canonical bundle of a valid policy in this format, or
                not those that `digest` names.
        """
        actual = digest_of(content)
        if digest is not None and digest != actual:
            raise PolicyError([f"bundle: announced as {digest}, but its bytes are {actual}"])
        return _recent.get(actual, lambda: _verified(content))

    @property
    def ids(self) -> tuple[str, ...]:
        """Of its rules and judges, as verdicts name them."""
        rules = (rule.id for rule in self._policy.rules)
        return (*rules, *(judge.id for judge in self._policy.judges))

    def judges(self, direction: Direction) -> tuple[Judge, ...]:
        """Who is asked about texts that the rules let pass; see `modelmill_guard.judged_text`."""
        return self._judges[direction]

    def strict(self) -> "CompiledPolicy":
        """The same rules and judges, each of which blocks, and before anything of it is shown.

        Built on the first call, which takes a while. Its verdicts name the digest of this policy.
        """
        with self._building:
            if self._strict is None:
                strict = _blocking(self._policy)
                same = strict == self._policy
                self._strict = self if same else CompiledPolicy(strict, self.digest)
            return self._strict

    def stream(self, direction: Direction, *, each_rule_once: bool = False) -> StreamGuard:
        """A guard for one growing text, by the rules alone; `each_rule_once` as of `check`."""
        holding, watching = self._rules[direction]
        return StreamGuard(holding, watching, self.digest, each_rule_once=each_rule_once)

    def check(
        self,
        text: str,
        direction: Direction,
        between: Callable[[], None] | None = None,
        *,
        each_rule_once: bool = False,
    ) -> Verdict:
        """The verdict of the rules on a whole text: by construction the one its stream would get.

        Args:
            between: called between short steps, where work in a thread gives way to others.
            each_rule_once: the verdict has the first match of each rule alone.

        Raises:
            TextTooLongError: over the policy's `max_check_characters`.
        """
        if len(text) > self.max_check_characters:
            raise TextTooLongError(len(text), self.max_check_characters)
        guard = self.stream(direction, each_rule_once=each_rule_once)
        step = _PIECE_CHARACTERS if between is None else _STEP_CHARACTERS
        for start in range(0, len(text), step):
            verdict = guard.push(text[start : start + step]).verdict
            if verdict is not None:
                return verdict
            if between is not None:
                between()
        verdict = guard.finish().verdict
        assert verdict is not None, "finish always has the verdict"
        return verdict


class RecentPolicies:
    """The policies that were built last, by digest.

    Who changes a policy builds it to see whether it can be built, and soon again from its bundle.
    Tenants that share one share its automata.
    """

    MOST = 8

    def __init__(self) -> None:
        self._kept: OrderedDict[str, CompiledPolicy] = OrderedDict()
        self._taking = Lock()

    def get(self, digest: str, policy: Callable[[], Policy]) -> CompiledPolicy:
        """The one of this digest, else built of `policy`; others are built at the same time."""
        with self._taking:
            if (found := self._kept.get(digest)) is not None:
                self._kept.move_to_end(digest)
                return found
        built = CompiledPolicy(policy(), digest)
        with self._taking:
            self._kept[digest] = built
            if len(self._kept) > self.MOST:
                self._kept.popitem(last=False)
        return built


_recent = RecentPolicies()


def _verified(content: bytes) -> Policy:
    try:
        bundle = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PolicyError([f"bundle: not JSON: {error}"]) from error
    if not isinstance(bundle, dict) or bundle.get("format") != FORMAT:
        raise PolicyError([f"bundle: not of format {FORMAT}"])
    policy = expanded(policy_from_objects({"bundle": bundle.get("policy")}))
    if _bundle_of(policy).content != content:
        raise PolicyError(["bundle: not canonical, so its digest does not name its policy"])
    return policy


def _rule_object(rule: Rule) -> dict[str, object]:
    written: dict[str, object] = {
        "id": rule.id,
        "category": rule.category,
        "severity": rule.severity.value,
        "action": rule.action.name.lower(),
        "directions": rule.directions_name,
    }
    if rule.pattern is not None:
        return written | {"pattern": rule.pattern}
    if rule.detector is not None:
        return written | {"detector": rule.detector}
    if rule.variants:
        written["variants"] = list(rule.variants)
    return written | {"keywords": list(rule.keywords), "within_words": rule.within_words}


def expanded(policy: Policy) -> Policy:
    """With keywords normalised."""
    return replace(policy, rules=tuple(map(_normalised, policy.rules)))


def _blocking(policy: Policy) -> Policy:
    """The policy with nothing that only flags or masks."""
    rules = (replace(rule, action=Action.BLOCK) for rule in policy.rules)
    judges = (replace(judge, action=Action.BLOCK, beside=False) for judge in policy.judges)
    return replace(policy, rules=tuple(rules), judges=tuple(judges))


def _normalised(rule: Rule) -> Rule:
    # A capital may pass for another letter than the small one does: Greek must match in any case.
    cases = (str, str.lower, str.upper, str.title)
    cased = {in_case(word) for word in rule.keywords for in_case in cases}
    keywords = {normalise(keyword).strip() for keyword in cased}
    return replace(rule, keywords=tuple(sorted(keywords)))


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
