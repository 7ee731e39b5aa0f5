"""Regular expressions to trees: a dialect of Python's, for ASCII, that matches a text as a whole.

Written out here because `re._parser` is private, knows more than can be generated, and names no
position for it; and because `modelmill_guard.pattern` wants every match bounded and RE2 beside it.
"""

from typing import NoReturn

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.domain.grammar import characters
from modelmill_inference.domain.grammar.characters import ANY, Ranges, both, merged, of, without
from modelmill_inference.domain.grammar.tree import (
    NOTHING,
    Characters,
    Node,
    Repetition,
    choice,
    sequence,
)

MAX_CHARACTERS = 1_000
MAX_DEPTH = 24
MAX_TIMES = 1_000

_DIGITS: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE = of(" \t\n\r")
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_NOT_SPACE = without(ANY, of(" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"))
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}
_HEXADECIMAL = {"x": 2, "u": 4, "U": 8}
_REFUSED_GROUPS = {
    "?=": "lookahead",
    "?!": "lookahead",
    "?<=": "lookbehind",
    "?<!": "lookbehind",
    "?P=": "a backreference",
    "?>": "an atomic group",
    "?(": "a condition",
    "?#": "a comment",
}
_REFUSED_ESCAPES = {"b": "a word boundary", "B": "a word boundary", "A": "an anchor"}


_CLASSES |= {"D": without(ANY, _DIGITS), "W": without(ANY, _WORD), "S": _NOT_SPACE}
_REFUSED_ESCAPES |= {"Z": "an anchor", "z": "an anchor", "G": "an anchor", "k": "a backreference"}
_REFUSED_ESCAPES |= {"p": "a Unicode class", "P": "a Unicode class"}
_REFUSED_ESCAPES |= dict.fromkeys("123456789", "a backreference")


def parse_regex(pattern: str) -> Node:
    """The tree of all texts that the expression matches from end to end.

    Raises:
        InvalidInputError: too long, not an expression, or something that cannot be generated;
            names it and its position.
    """
    if len(pattern) > MAX_CHARACTERS:
        raise InvalidInputError(f"the expression has more than {MAX_CHARACTERS} characters")
    return _Parser(pattern).parse()


class _Parser:
    """Recursive descent."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._alternatives()
        if self._at < len(self._pattern):
            self._refuse("')' without '('")
        return node

    def _refuse(self, what: str, at: int | None = None) -> NoReturn:
        place = self._at if at is None else at
        raise InvalidInputError(f"the expression has {what} at position {place}")

    def _next(self, length: int = 1) -> str:
        return self._pattern[self._at : self._at + length]

    def _take(self, length: int = 1) -> str:
        taken = self._next(length)
        if len(taken) < length:
            self._refuse("an end that comes too early")
        self._at += length
        return taken

    def _alternatives(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"more than {MAX_DEPTH} groups in each other")
        branches = [self._sequence()]
        while self._next() == "|":
            self._take()
            branches.append(self._sequence())
        self._depth -= 1
        return choice(branches)

    def _sequence(self) -> Node:
        """Anchors say what holds anyway, where the whole begins and ends."""
        if self._depth == 1 and self._next() == "^":
            self._take()
        parts: list[Node] = []
        while self._next() not in ("", "|", ")"):
            if self._depth == 1 and self._next() == "$" and self._next(2) in ("$", "$|"):
                self._take()
                break
            parts.append(self._repeated())
        return sequence(*parts) if parts else NOTHING

    def _repeated(self) -> Node:
        node = self._single()
        bounds = self._bounds()
        if bounds is None:
            return node
        if self._next() == "?":  # lazy: the texts are the same
            self._take()
        if self._next() in ("*", "+", "?") or self._bounds() is not None:
            self._refuse("a repeat of a repeat, or a possessive one,")
        return NOTHING if bounds[1] == 0 else Repetition(node, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self._next() in simple:
            return simple[self._take()]
        closing = self._pattern.find("}", self._at)
        if self._next() != "{" or closing < 0:
            return None
        least, comma, most = self._pattern[self._at + 1 : closing].partition(",")
        if not all(part == "" or (part.isascii() and part.isdigit()) for part in (least, most)):
            return None
        if not least and not most:
            return None
        lower = int(least[:9] or "0")
        upper = int(most[:9]) if most else (None if comma else lower)
        if max(lower, upper or 0) > MAX_TIMES:
            self._refuse(f"a repeat of more than {MAX_TIMES} times")
        if upper is not None and upper < lower:
            self._refuse("a repeat whose bounds are the wrong way round")
        self._at = closing + 1
        return lower, upper

    def _single(self) -> Node:
        character = self._next()
        if character == "(":
            return self._group()
        if character == "[":
            return self._one_of(self._class())
        if character == "\\":
            return self._one_of(self._escape())
        if character in "^$":
            self._refuse(f"the anchor {character} in its midst")
        if character in "*+?":
            self._refuse("a repeat of nothing")
        self._take()
        return self._one_of(without(ANY, of("\n")) if character == "." else of(character))

    def _one_of(self, ranges: Ranges) -> Node:
        possible = both(ranges, ANY)
        if not possible:
            self._refuse("only characters that no answer may have, before it,")
        return Characters(possible)

    def _group(self) -> Node:
        for opening, name in _REFUSED_GROUPS.items():
            if self._next(1 + len(opening)) == f"({opening}":
                self._refuse(name)
        self._take()
        if self._next(2) == "?:":
            self._take(2)
        elif self._next(3) == "?P<" or self._next(2) == "?<":
            closing = self._pattern.find(">", self._at)
            if closing < 0:
                self._refuse("a group name without end")
            self._at = closing + 1
        elif self._next() == "?":
            self._refuse("flags")
        inner = self._alternatives()
        if self._next() != ")":
            self._refuse("a group without ')'")
        self._take()
        return inner

    def _escape(self) -> Ranges:
        self._take()
        kind = self._take()
        if kind in _CLASSES:
            return _CLASSES[kind]
        if kind in _CONTROLS:
            return of(_CONTROLS[kind])
        if kind in _HEXADECIMAL:
            digits = self._take(_HEXADECIMAL[kind])
            point = int(digits, 16) if all(d in "0123456789abcdefABCDEF" for d in digits) else -1
            if not 0 <= point <= characters.LAST:
                self._refuse(f"a bad \\{kind} before it")
            return ((point, point),)
        if kind in _REFUSED_ESCAPES:
            self._refuse(f"{_REFUSED_ESCAPES[kind]} (\\{kind})", self._at - 2)
        if kind.isalnum() or not kind.isascii():
            self._refuse(f"\\{kind}, which is not supported,", self._at - 2)
        return of(kind)

    def _class(self) -> Ranges:
        self._take()
        negated = self._next() == "^"
        if negated:
            self._take()
        found: list[tuple[int, int]] = []
        first = True
        while first or self._next() != "]":
            found += self._class_part()
            first = False
        self._take()
        return without(ANY, merged(found)) if negated else merged(found)

    def _class_part(self) -> Ranges:
        low = self._class_character()
        if self._next() != "-" or self._next(2) == "-]":
            return low
        self._take()
        high = self._class_character()
        if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or high[0][0] != high[0][1]:
            self._refuse("a range between classes before it")
        if high[0][0] < low[0][0]:
            self._refuse("a range the wrong way round before it")
        return ((low[0][0], high[0][0]),)

    def _class_character(self) -> Ranges:
        if self._next() == "\\":
            return self._escape()
        if self._next() == "[" or self._next(2) in ("--", "&&", "~~", "||"):
            self._refuse("a character in a class that must have \\ before it")
        return of(self._take())
