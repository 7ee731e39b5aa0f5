"""Patterns in RE2 syntax whose matches have a bounded width, and the test for partial matches.

A pattern is parsed into a small tree, from which come the longest width of a match and a second
pattern, its prefix closure: what any match can begin with. Searching the closure at the end of the
text seen so far gives the first place where a match may still be growing. RE2 itself cannot be
asked that.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import re2

from modelmill_guard.normalise import normalise
from modelmill_guard.pattern_tree import (
    Boundary,
    Character,
    Choice,
    Concatenation,
    Node,
    Repeat,
    begins_at_boundary,
    characters_of,
    heads_of,
)
from modelmill_guard.shown_as import simplified


def letters_of(node: Node) -> frozenset[str]:
    """Every character of a shadow copy that a match may have; empty when they are too many.

    A text that has none of the characters of which every match needs one has no match, and a match
    can only be growing in the characters at its end of which matches are made.
    """
    if isinstance(node, Character):
        return frozenset(characters_of(node.written))
    if isinstance(node, Repeat):
        return letters_of(node.inner)
    if isinstance(node, Concatenation | Choice):
        parts = node.parts if isinstance(node, Concatenation) else node.branches
        listed = [letters_of(part) for part in parts if not isinstance(part, Boundary)]
        return frozenset[str]().union(*listed) if all(listed) else frozenset()
    return frozenset()


def needed_by(node: Node) -> frozenset[str]:
    """Characters of which every match has one, the rarest that can be told; empty when none can."""
    if isinstance(node, Character):
        return frozenset(characters_of(node.written))
    if isinstance(node, Repeat):
        return needed_by(node.inner) if node.least else frozenset()
    if isinstance(node, Choice):
        listed = [needed_by(branch) for branch in node.branches]
        return frozenset[str]().union(*listed) if all(listed) else frozenset()
    if isinstance(node, Concatenation):
        return min(filter(None, map(needed_by, node.parts)), key=_how_common, default=frozenset())
    return frozenset()


def _how_common(characters: frozenset[str]) -> tuple[int, int]:
    return sum(one.isalpha() or one == " " for one in characters), len(characters)


MAX_WIDTH = 256
"""Longest match a pattern may have, in shadow characters: the most a stream is held back for it."""
MAX_SOURCE_CHARACTERS = 1000
_MAX_DEPTH = 20
_MAX_MEMORY_BYTES = 64 << 20

_REFUSED_ESCAPES = {
    "A": "matches everywhere in a text. Remove the anchor \\A",
    "z": "matches everywhere in a text. Remove the anchor \\z",
    "Q": "quote characters one by one instead of \\Q",
    "C": "a single byte (\\C) cannot be matched",
}
_CLASS_ESCAPES = frozenset("dDsSwW")


class PatternError(ValueError):
    """The pattern cannot be a rule; the message says why and what to write instead."""


@dataclass(frozen=True)
class BoundedPattern:
    """A pattern that can be a rule."""

    source: str
    """What RE2 matches, rendered from the tree that `prefixes` came from."""
    prefixes: str
    """What any match of `source` can begin with."""
    widest: int
    """Longest match, in shadow characters."""
    heads: frozenset[str]
    """Beginnings of which every match has one; empty when none can be told."""
    at_boundary: bool
    """Whether a match begins at a word boundary only."""
    letters: frozenset[str]
    """All that a match may be spelled with; empty when that is too much to list."""
    needed: frozenset[str]
    """Characters of which every match has one; empty when none can be told."""
    verify: Callable[[str], int | None] | None = None
    """Of the shadow text of a match: where in it the thing itself begins; None when it is none.
    It is also asked of beginnings of a match, where `shortens` is set."""
    shortens: bool = False
    """Whether, of a match that does not verify, shorter ones that end with a word are tried."""


@lru_cache(maxsize=256)  # a policy that changes keeps most of its patterns
def parse_pattern(pattern: str) -> BoundedPattern:
    """Analyse a pattern; it will match without regard to case, on the shadow copy.

    Raises:
        PatternError: not RE2 syntax, unbounded, empty, too wide, or written so that no shadow copy
            can ever match it.
    """
    if len(pattern) > MAX_SOURCE_CHARACTERS:
        raise PatternError(f"is longer than {MAX_SOURCE_CHARACTERS} characters")
    compile_pattern(pattern)
    tree = tree_of(pattern)
    if tree.narrowest == 0:
        raise PatternError("can match nothing at all. Make at least one character required")
    if tree.widest > MAX_WIDTH:
        raise PatternError(f"can match {tree.widest} characters; the limit is {MAX_WIDTH}")
    bounded = BoundedPattern(
        source=tree.source(),
        prefixes=tree.prefixes(),
        widest=tree.widest,
        heads=heads_of(tree),
        at_boundary=begins_at_boundary(tree),
        letters=letters_of(tree),
        needed=needed_by(tree),
    )
    compile_pattern(bounded.source)
    compile_pattern(ending_in([bounded.prefixes]))
    return bounded


def tree_of(pattern: str) -> Node:
    """What a pattern is made of; PatternError for what cannot be a rule."""
    return _Parser(_simplified(pattern)).parse()


def _simplified(pattern: str) -> str:
    """As the shadow copy has it; a range's ends stay, whose order is that of code points."""
    table, shown = simplified(), list(pattern)
    for at, character in enumerate(pattern):
        if "-" not in pattern[max(at - 1, 0) : at + 2]:
            shown[at] = table.get(ord(character), character)
    return "".join(shown)


def compile_pattern(source: str) -> "re2._Regexp":
    """Compile with the options that every rule is matched with.

    Raises:
        PatternError: RE2 refuses it.
    """
    options = re2.Options()
    options.case_sensitive = False
    options.longest_match = True
    options.never_capture = True
    options.log_errors = False
    options.max_mem = _MAX_MEMORY_BYTES
    try:
        return re2.compile(source, options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0]
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise PatternError(f"is not RE2 syntax: {text}") from error


def ending_in(closures: Iterable[str]) -> str:
    """A pattern whose leftmost match is the first partial match that reaches the text's end."""
    return f"(?:{'|'.join(closures)})\\z"


class _Parser:
    """Recursive descent over a pattern that RE2 has already accepted."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        return self._choice()

    def _peek(self, length: int = 1) -> str:
        return self._pattern[self._at : self._at + length]

    def _take(self, length: int = 1) -> str:
        taken = self._peek(length)
        self._at += length
        return taken

    def _take_past(self, closing: str) -> str:
        end = self._pattern.index(closing, self._at) + len(closing)
        return self._take(end - self._at)

    def _choice(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise PatternError(f"nests groups deeper than {_MAX_DEPTH}")
        branches = [self._sequence()]
        while self._peek() == "|":
            self._take()
            branches.append(self._sequence())
        self._depth -= 1
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._single()))
        return Concatenation(tuple(parts))

    def _repeated(self, node: Node) -> Node:
        while bounds := self._bounds():
            if self._peek() == "?":  # lazy: which match wins is always the longest
                self._take()
            node = Repeat(node, *bounds)
        return node

    def _bounds(self) -> tuple[int, int] | None:
        if self._peek() == "?":
            self._take()
            return 0, 1
        if self._peek() in ("*", "+"):
            raise _unbounded(self._peek())
        closing = self._pattern.find("}", self._at)
        if self._peek() != "{" or closing < 0:
            return None
        least, comma, most = self._pattern[self._at + 1 : closing].partition(",")
        if not _is_number(least) or (most and not _is_number(most)):
            return None  # to RE2 this brace is a literal
        if comma and not most:
            raise _unbounded(f"{{{least},}}")
        self._at = closing + 1
        return int(least), int(most) if comma else int(least)

    def _single(self) -> Node:
        character = self._peek()
        if character == "(":
            return self._group()
        if character == "[":
            return Character(self._character_class())
        if character == "\\":
            return self._escape()
        if character in ("^", "$"):
            raise PatternError(f"matches everywhere in a text. Remove the anchor {character}")
        self._take()
        return Character(".") if character == "." else _literal(character)

    def _group(self) -> Node:
        self._take()
        if self._peek() == "?":
            opening = self._take(2)
            if opening in ("?P", "?<"):
                self._take_past(">")
            elif opening != "?:":
                raise PatternError(
                    "sets flags. Remove (?...): case never matters, ' ' is any space"
                )
        inner = self._choice()
        self._take()
        return inner

    def _character_class(self) -> str:
        start = self._at
        self._take()
        if self._peek() == "^":
            self._take()
        if self._peek() == "]":
            self._take()
        while self._peek() != "]":
            if self._peek(2) == "[:" and self._pattern.find(":]", self._at) > 0:
                self._take_past(":]")
            else:
                self._take(2 if self._peek() == "\\" else 1)
        self._take()
        return self._pattern[start : self._at]

    def _escape(self) -> Node:
        self._take()
        kind = self._take()
        if kind in ("b", "B"):
            return Boundary(f"\\{kind}")
        if kind in _CLASS_ESCAPES:
            return Character(f"\\{kind}")
        if kind in ("p", "P"):
            name = self._take_past("}") if self._peek() == "{" else self._take()
            return Character(f"\\{kind}{name}")
        if kind == "x":
            digits = self._take_past("}")[1:-1] if self._peek() == "{" else self._take(2)
            return _literal(chr(int(digits, 16)))
        if kind in _REFUSED_ESCAPES:
            raise PatternError(_REFUSED_ESCAPES[kind])
        if kind.isalnum():
            raise PatternError(f"uses \\{kind}, which is not supported here")
        return _literal(kind)


def _unbounded(quantifier: str) -> PatternError:
    return PatternError(
        f"has no upper bound: write a bounded repetition such as {{0,40}} instead of {quantifier}"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _literal(character: str) -> Character:
    shadow = normalise(character)
    if shadow != character.lower():
        raise PatternError(
            f"contains {character!r}, which the normalised copy never has. Write {shadow!r}"
        )
    return Character(re2.escape(character))
