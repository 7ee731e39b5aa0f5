"""Finds matches on a whole text with plain searches: what the engine must agree with."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import re2
from modelmill_guard.normalise import is_word_character, normalise
from modelmill_guard.policy import Policy
from modelmill_guard.verdict import Action, Direction, RuleMatch, Verdict


def each_rule_once(verdict: Verdict) -> Verdict:
    """With the first match of each rule alone."""
    first = {match.rule_id: match for match in reversed(verdict.matches)}
    return replace(verdict, matches=tuple(m for m in verdict.matches if m is first[m.rule_id]))


def oracle(policy: Policy, text: str, direction: Direction, digest: str) -> Verdict:
    shadow = normalise(text)
    origins: list[int] = []
    for index in range(len(text)):
        grown = len(normalise(text[: index + 1]))
        origins.extend([index] * (grown - len(origins)))
    capitals = [text[index].isupper() for index in origins]
    found = sorted(set(_spans(policy, shadow, capitals, direction)))
    blocks = [start for start, _, _, action in found if action is Action.BLOCK]
    heads = {rule.id: rule for rule in policy.rules}
    matches = sorted(
        {
            RuleMatch(
                rule_id,
                heads[rule_id].category,
                action,
                origins[start],
                next((o for o in origins[end:] if o > origins[end - 1]), len(text)),
            )
            for start, end, rule_id, action in found
            if not blocks or start <= min(blocks)
        },
        key=lambda match: (match.start, match.end, match.rule_id),
    )
    masked = list(text)
    for match in matches:
        if match.action is Action.MASK:
            masked[match.start : match.end] = "*" * (match.end - match.start)
    action = max((match.action for match in matches), default=Action.ALLOW)
    return Verdict(action, tuple(matches), "" if blocks else "".join(masked), digest)


def _spans(
    policy: Policy, shadow: str, capitals: list[bool], direction: Direction
) -> Iterator[tuple[int, int, str, Action]]:
    for rule in policy.rules:
        if direction not in rule.directions:
            continue
        if rule.pattern is not None:
            options = re2.Options()
            options.case_sensitive = False
            options.longest_match = True
            for match in re2.compile(rule.pattern, options).finditer(shadow):
                yield match.start(), match.end(), rule.id, rule.action
        for keyword in map(normalise, rule.keywords):
            for start in range(len(shadow)):
                end = start + len(keyword)
                if not _is_written(keyword, shadow[start:end]):
                    continue
                before, after = shadow[start - 1 : start], shadow[end : end + 1]
                if rule.within_words or not (
                    _within(before, keyword[0]) or _within(after, keyword[-1])
                ):
                    yield start, end, rule.id, rule.action
            loosely = _loosely(keyword, shadow, capitals)
            apart = loosely if _is_loose(keyword) else _pulled_apart(keyword, shadow)
            for start, end in apart:
                yield start, end, rule.id, rule.action


def _is_written(keyword: str, written: str) -> bool:
    """A hyphen stands for a space."""
    return len(keyword) == len(written) and all(
        shown in ((letter, "-") if letter == " " else letter)
        for letter, shown in zip(keyword, written, strict=True)
    )


def _pulled_apart(keyword: str, shadow: str) -> Iterator[tuple[int, int]]:
    """By trying every letter of the shadow as the first."""
    letters = [c for c in keyword if c.isalnum()]
    places = [place for place, character in enumerate(shadow) if character.isalnum()]
    if len(letters) < (3 if any(map(is_word_character, letters)) else 2):
        return
    for first in range(len(places) - len(letters) + 1):
        taken = places[first : first + len(letters)]
        if [shadow[place] for place in taken] != letters:
            continue
        start, end = taken[0], taken[-1] + 1
        gaps = [shadow[a + 1 : b] for a, b in pairwise(taken)]
        touching = [
            is_word_character(shadow[a]) and is_word_character(shadow[b])
            for a, b in pairwise(taken)
        ]
        sentence = any(set(gap) & set(",;:!?。、") for gap in gaps)
        if (
            any(
                len(gap) > 3 or (not gap and letter)
                for gap, letter in zip(gaps, touching, strict=True)
            )
            or (sentence and (len(letters) < 3 or not all(gaps)))
            or _touches(shadow[start - 1 : start], letters[0])
            or _touches(shadow[end : end + 1], letters[-1])
        ):
            continue
        yield start, end


def _is_loose(keyword: str) -> bool:
    """A phrase of eight letters, or a word of six, of a spaced script."""
    letters = [c for c in keyword if c.isalnum()]
    words = re.findall(r"[^\W_]+", keyword)
    least = 8 if len(words) > 1 else 6
    return len(letters) >= least and all(map(is_word_character, letters))


def _loosely(keyword: str, shadow: str, capitals: list[bool]) -> Iterator[tuple[int, int]]:
    """By a regular expression for each place where the keyword's words may be parted otherwise."""
    words = re.findall(r"[^\W_]+", keyword)
    within, between = r"([\W_]{0,3})", r"([\W_]{0,5})"
    spelled = between.join(within.join(map(re.escape, word)) for word in words)
    ends = [at == len(word) for word in words for at in range(1, len(word) + 1)][:-1]
    for start in range(len(shadow)):
        match = re.compile(spelled).match(shadow, start)
        if match is None:
            continue
        if not all(_are_two_words(shadow, capitals, at) for at in match.span()):
            continue
        inside = [gap for gap, end in zip(match.groups(), ends, strict=True) if gap and not end]
        joins = [gap for gap, end in zip(match.groups(), ends, strict=True) if end]
        if not all(match.groups()):
            sentences = [gap for gap in joins if re.search(r"[,;:!?。、.]", gap) and " " in gap]
            if not joins and any(" " in gap for gap in inside):
                continue
            if joins and any(re.search(r"[,;:!?。、.]", gap) and " " in gap for gap in inside):
                continue
            if sentences and (len(joins) < 2 or not all(gap.strip() for gap in joins)):
                continue
        yield match.span()


def _are_two_words(shadow: str, capitals: list[bool], at: int) -> bool:
    """Whether a word ends before a place, also one of a name: by sign, digit or capital."""
    before, after, next_but_one = shadow[at - 1 : at], shadow[at : at + 1], shadow[at + 1 : at + 2]
    if not (after.isalnum() and _touches(before, after)):
        return True
    if before.isdigit() != after.isdigit():
        return True
    is_small = next_but_one.isalpha() and not capitals[at + 1]
    return capitals[at] and (is_small or not capitals[at - 1])


def _touches(neighbour: str, edge: str) -> bool:
    return neighbour.isalnum() and _within(neighbour, edge)


def _within(neighbour: str, edge: str) -> bool:
    return bool(neighbour) and is_word_character(neighbour) and is_word_character(edge)
