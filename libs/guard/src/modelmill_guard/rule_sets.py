"""The rules of a policy as automata: those that hold text back, and those that only watch."""

from modelmill_guard.detectors import detector_pattern
from modelmill_guard.found import RuleHead
from modelmill_guard.han_ways import PINYIN
from modelmill_guard.pattern import BoundedPattern, PatternError, parse_pattern
from modelmill_guard.policy import Policy, PolicyError
from modelmill_guard.rule import MAX_KEYWORD_CHARACTERS, Rule
from modelmill_guard.scan import RuleSet
from modelmill_guard.variants import LEET, OF_HAN, has_leet, in_pinyin
from modelmill_guard.verdict import Action, Direction


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
