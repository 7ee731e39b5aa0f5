"""Measured CPU cost of rules per character, on texts made to be expensive for them.

Nobody can tell by looking at a pattern: RE2 takes linear time, but its states are made as texts
need them, and a text that always needs new ones costs a hundred times as much as one that does not.
So each sort of text is read twice, with other letters: what only the first one costs is forgiven.
The texts are random, of what each pattern matches and of keywords that lie within each other. Who
knows the policy can make worse ones, by a factor, not by orders of magnitude.
"""

import random
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import re2

from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.pattern import tree_of
from modelmill_guard.pattern_tree import Boundary, Character, Choice, Concatenation, Node, Repeat
from modelmill_guard.policy import Policy
from modelmill_guard.rule import Rule
from modelmill_guard.verdict import Action, Direction

PROBE_CHARACTERS = 1000
_STEP_CHARACTERS = 50
_KEYWORD_PROBES = 3
_FOUND_ENOUGH = 4.0
"""A measurement is broken off that is so many times over the limit."""
_ALPHABET = string.ascii_lowercase + string.digits + " .,:;-_'\"@/+=()"

Clock = Callable[[], float]


@dataclass(frozen=True)
class RuleCost:
    """A rule, and seconds that it alone takes for a character."""

    rule_id: str
    seconds: float


def cost_of(policy: Policy, clock: Clock, limit: float, *, seed: int = 0) -> float:
    """Seconds a character of the worst text that was tried; of an expanded policy.

    Args:
        clock: of the CPU time of this thread, so that other work does not count.
        limit: beyond several times as much nothing more is tried.
        seed: of the texts. Automata are kept beyond a call, and know texts that they have read.
    """
    worst = 0.0
    compiled, source = _finding_everything(policy), random.Random(seed)
    for probe in _probes(policy):
        _measured(compiled, probe(source), clock, limit)
        worst = max(worst, _measured(compiled, probe(source), clock, limit))
        if worst > _FOUND_ENOUGH * limit:
            break
    return worst


def costliest(
    policy: Policy, clock: Clock, limit: float, *, most: int, seed: int
) -> list[RuleCost]:
    """The rules that cost most, each alone, the worst first."""
    candidates = [rule for rule in policy.rules if rule.pattern is not None]
    candidates += _rules_of_nested(policy, most)
    costs = [
        RuleCost(rule.id, cost_of(replace(policy, rules=(rule,)), clock, limit, seed=seed))
        for rule in candidates
    ]
    return sorted(costs, key=lambda cost: -cost.seconds)[:most]


def _finding_everything(policy: Policy) -> CompiledPolicy:
    """The rules as they are, but that none ends a text: a text that is worst is not blocked."""
    rules = (
        replace(rule, action=min(rule.action, Action.MASK), directions=frozenset(Direction))
        for rule in policy.rules
    )
    return CompiledPolicy(replace(policy, rules=tuple(rules), judges=()), "")


def _measured(policy: CompiledPolicy, text: str, clock: Clock, limit: float) -> float:
    stream, begun, read = policy.stream(Direction.INPUT), clock(), 0
    for start in range(0, len(text), _STEP_CHARACTERS):
        stream.push(text[start : start + _STEP_CHARACTERS])
        read = min(start + _STEP_CHARACTERS, len(text))
        if clock() - begun > _FOUND_ENOUGH * limit * PROBE_CHARACTERS:
            break
    else:
        stream.finish()
    return (clock() - begun) / read


def _probes(policy: Policy) -> Iterator[Callable[[random.Random], str]]:
    """What makes texts, each of a sort that is hard on some rules."""
    yield _letters
    for keyword in _nested(policy)[:_KEYWORD_PROBES]:
        yield partial(_repeated, keyword)
    for rule in policy.rules:
        if rule.pattern is not None:
            yield partial(_of_matches, tree_of(rule.pattern))


def _letters(source: random.Random) -> str:
    return "".join(source.choices(string.ascii_lowercase + "  ", k=PROBE_CHARACTERS))


def _repeated(keyword: str, source: random.Random) -> str:
    return (keyword * PROBE_CHARACTERS)[:PROBE_CHARACTERS]


def _of_matches(tree: Node, source: random.Random) -> str:
    """Matches of the pattern in a row, each cut off somewhere, so that more of them overlap."""
    said, length = [], 0
    while length < PROBE_CHARACTERS:
        match = _example(tree, source)
        said.append(match[: source.randint(1, len(match))] + source.choice(" ,x"))
        length += len(said[-1])
    return "".join(said)[:PROBE_CHARACTERS]


def _example(node: Node, source: random.Random) -> str:
    if isinstance(node, Character):
        return source.choice(_characters(node.written))
    if isinstance(node, Concatenation):
        return "".join(_example(part, source) for part in node.parts)
    if isinstance(node, Choice):
        return _example(source.choice(node.branches), source)
    if isinstance(node, Repeat):
        times = source.randint(node.least, node.most)
        return "".join(_example(node.inner, source) for _ in range(times))
    assert isinstance(node, Boundary), "there is no other node"
    return ""


@cache
def _characters(written: str) -> str:
    """Some that a literal or class matches."""
    pattern = re2.compile(written)
    return "".join(one for one in _ALPHABET + written if pattern.fullmatch(one)) or written[-1]


def _nested(policy: Policy) -> Sequence[str]:
    """Keywords, first those at whose end the most others end, too."""
    counts = Counter(keyword for rule in policy.rules for keyword in rule.keywords)

    def ending(keyword: str) -> int:
        return sum(counts[keyword[start:]] for start in range(len(keyword)))

    return sorted(counts, key=lambda keyword: (-ending(keyword), keyword))


def _rules_of_nested(policy: Policy, most: int) -> list[Rule]:
    """Rules whose keywords are within the one in which the most are."""
    longest = next(iter(_nested(policy)), "")
    within = {rule.id: sum(each in longest for each in rule.keywords) for rule in policy.rules}
    return sorted(
        (rule for rule in policy.rules if within[rule.id]), key=lambda rule: -within[rule.id]
    )[:most]
