"""Validates the syntax of a grammar before it reaches a pipeline.

A pipeline detects an invalid grammar only during a step, and does not recover. This accepts the
subset of XGrammar's EBNF that our compiler writes: one rule per line, literals, character classes,
names, groups, alternatives and repetitions.
"""

import re
from collections.abc import Iterator

_RULE = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*::=(.*)", re.ASCII)
_POINT = r"\\U[0-9a-fA-F]{8}|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}"
_IN_LITERAL = rf"(?:{_POINT}|\\[nrt\"'\\]|[^\"\\\0])"
# Non-ASCII characters must be escaped: XGrammar misreads a range after one.
_IN_CLASS = rf"(?:{_POINT}|\\[nrt\"'\\\[\]^-]|[\x01-Z_-\x7f^])"
_TOKEN = re.compile(
    rf'(?P<literal>"{_IN_LITERAL}*")'
    rf"|(?P<class>\[\^?{_IN_CLASS}+\])"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)"
    r"|(?P<open>\()|(?P<close>\))|(?P<or>\|)"
    r"|(?P<repeat>[*+?]|\{(?P<least>\d+)(?:,(?P<most>\d*))?\})"
    r"|(?P<space>[ \t]+)"
)
_DIGIT = r"(?:[0-9a-fA-F]|\\U000000[3-6][0-9a-f]|\\x[3-6][0-9a-f])"
_MISREAD = re.compile(
    rf"(?:[\x7f-\xff]|\\(?:U000000|u00|x)(?:[189a-fA-F][0-9a-fA-F]|0[0-8bcefBCEF]|7[fF])){_DIGIT}"
)
"""Characters that XGrammar rewrites without leading zeros, followed by a possible digit."""
_RESERVED = frozenset(("true", "false"))
_MOST_NESTED = 500
_MOST_REPEATED = 1_000_000
_LAST_POINT, _SURROGATES = 0x10FFFF, range(0xD800, 0xE000)


def check_grammar(text: str) -> None:
    """Raises ValueError with the reason if `text` is not a valid grammar."""
    rules: set[str] = set()
    used: set[str] = {"root"}
    for line in filter(str.strip, text.split("\n")):
        rule = _RULE.fullmatch(line)
        if rule is None or rule[1] in rules | _RESERVED:
            raise ValueError(f"not a rule of a grammar, or a second one of its name: {line[:80]!r}")
        rules.add(rule[1])
        used.update(_check_body(rule[2]))
    if used - rules:
        raise ValueError(f"the grammar has no rule {min(used - rules)!r}")


def _check_body(body: str) -> Iterator[str]:
    """Names that a rule refers to."""
    depth, before = 0, ""
    for token in _tokens(body):
        kind = str(token.lastgroup if token["repeat"] is None else "repeat")
        complete = before in ("literal", "class", "name", "close", "repeat")
        if (kind in ("close", "or", "repeat") and not complete) or before == kind == "repeat":
            raise ValueError(f"{token[0]!r} follows nothing in a grammar")
        depth += (kind == "open") - (kind == "close")
        if not 0 <= depth <= _MOST_NESTED:
            raise ValueError("groups of a grammar are not closed, not opened, or too deep")
        _check_numbers(token)
        if kind == "name":
            yield token[0]
        before = kind
    if depth or before in ("", "open", "or"):
        raise ValueError(f"a rule of the grammar has no end: {body[:80]!r}")


def _tokens(body: str) -> Iterator[re.Match[str]]:
    place = 0
    while place < len(body):
        token = _TOKEN.match(body, place)
        if token is None:
            raise ValueError(f"this is no part of a grammar: {body[place : place + 40]!r}")
        place = token.end()
        if token["space"] is None:
            yield token


def _check_numbers(token: re.Match[str]) -> None:
    least = int(token["least"] or 0)
    most = int(token["most"] or least)
    if not least <= most <= _MOST_REPEATED:
        raise ValueError(f"{token[0][:40]} repeats fewer times than it must, or too often")
    for point in re.findall(_POINT, token["literal"] or token["class"] or ""):
        number = int(point[2:], 16)
        if number > _LAST_POINT or number in _SURROGATES:
            raise ValueError(f"{point} is no character")
    if _MISREAD.search(token["literal"] or token["class"] or ""):
        raise ValueError(f"a digit behind {token[0][:40]}'s character would be read as part of it")
    if token["class"]:
        _check_ranges(token["class"])


def _check_ranges(written: str) -> None:
    items = re.findall(_IN_CLASS, written[2 if written[1] == "^" else 1 : -1])
    points = [int(item[2:], 16) if re.fullmatch(_POINT, item) else ord(item[-1]) for item in items]
    for place in range(1, len(items) - 1):
        if items[place] == "-" and points[place - 1] > points[place + 1]:
            raise ValueError(f"a range of {written[:80]} ends before it begins")
