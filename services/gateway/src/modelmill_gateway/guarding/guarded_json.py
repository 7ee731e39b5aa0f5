"""JSON on its way out: documents and calls of functions, judged by the strings within them."""

import json
import re
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from modelmill_guard.bundle import CompiledPolicy, TextTooLongError
from modelmill_guard.stream import MASK
from modelmill_guard.verdict import Action, Direction, Released, RuleMatch, Verdict

from modelmill_gateway.domain.chat import ToolCall, read_json

_BEGINS = ("{", "[")


def may_be_json(text: str) -> bool:
    """Whether the beginning of an answer is one of a JSON document with strings to be joined."""
    return text.lstrip().startswith(_BEGINS)


def strings_together(text: str) -> list[str]:
    """The strings of a text, joined, if it is JSON."""
    if not may_be_json(text):
        return []
    try:
        return joined_strings(read_json(text))
    except (ValueError, RecursionError):
        return []


def joined_strings(document: Any) -> list[str]:
    """The strings of a document that was read: all joined, those that are no keys, those of a key.

    A growing text is judged by the first two: what stands under a key is shown before the next is.
    """
    by_key: dict[str, list[str]] = defaultdict(list)
    texts, values = [*_strings(document)], [*_strings(document, by_key)]
    joined = [" ".join(some) for some in (texts, values, *by_key.values()) if len(some) > 1]
    return list(dict.fromkeys(joined))


def _strings(
    document: Any, by_key: dict[str, list[str]] | None = None, key: str | None = None
) -> Iterator[str]:
    """With keys; or without, and then sorted by key."""
    if isinstance(document, str):
        if by_key is not None and key is not None:
            by_key[key].append(document)
        yield document
    elif isinstance(document, dict):
        for inner, value in document.items():
            if by_key is None:
                yield inner
            yield from _strings(value, by_key, inner)
    elif isinstance(document, list):
        for value in document:
            yield from _strings(value, by_key, key)


class _Joined:
    """One guard on some of the strings."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self._guard = policy.stream(Direction.OUTPUT, each_rule_once=True)
        self._places: deque[int] = deque()
        """Where in the document each character stands that was not released."""
        self._fresh = ""
        self.blocked = False
        self.matches: tuple[RuleMatch, ...] = ()

    def add(self, spelled: str, place: int) -> None:
        self._fresh += spelled
        self._places.extend([place] * len(spelled))

    def judge(self, seen: int, *, finished: bool) -> int:
        """Up to where in the document, of which so much was seen, nothing more can be blocked."""
        released = self._guard.push(self._fresh) if self._fresh else None
        self._fresh = ""
        verdict = released.verdict if released is not None else None
        length = len(released.text) if released is not None else 0
        if finished and verdict is None:
            rest = self._guard.finish()
            length, verdict = length + len(rest.text), rest.verdict
        for _ in range(length):
            self._places.popleft()
        if verdict is not None:
            self.blocked, self.matches = verdict.action is Action.BLOCK, verdict.matches
        return self._places[0] if self._places else seen


class JoinedStrings:
    """Releases a growing text once no rule can turn its strings, joined, into what it blocks."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self._all, self._values = _Joined(policy), _Joined(policy)
        self._reader = _StringReader()
        self._held = ""
        self._held_at = 0

    @property
    def blocked(self) -> bool:
        """A rule blocks; nothing comes out any more."""
        return self._all.blocked or self._values.blocked

    @property
    def matches(self) -> list[RuleMatch]:
        """What blocks."""
        return [match for it in (self._all, self._values) if it.blocked for match in it.matches]

    @property
    def holds(self) -> bool:
        """Whether anything is held back."""
        return bool(self._held)

    def push(self, text: str, *, finished: bool = False) -> str:
        """What may be shown of this text and of what was held back."""
        if self.blocked:
            return ""
        seen = self._held_at + len(self._held)
        for place, character in enumerate(text, seen):
            spelled, is_key = self._reader.read(character)
            if spelled:
                self._all.add(spelled, place)
                if not is_key:
                    self._values.add(spelled, place)
        self._held += text
        seen += len(text)
        ends = [it.judge(seen, finished=finished) for it in (self._all, self._values)]
        length = min(ends) - self._held_at
        shown, self._held = self._held[:length], self._held[length:]
        self._held_at += len(shown)
        return shown


class _StringReader:
    """Tells, character by character, what of a JSON text is said in strings."""

    def __init__(self) -> None:
        self._in_string = False
        self._escaped = False
        self._is_key = False
        self._objects: list[bool] = []
        """Of what is open: whether it is an object."""

    def read(self, character: str) -> tuple[str, bool]:
        """What the character adds to the strings, and whether it belongs to a key."""
        if self._in_string:
            return self._within(character), self._is_key
        if character == '"':
            self._in_string = True
            return " ", self._is_key
        if character in "{[":
            self._is_key = character == "{"
            self._objects.append(self._is_key)
        elif character in "}]" and self._objects:
            self._objects.pop()
        elif character == ",":
            self._is_key = bool(self._objects) and self._objects[-1]
        elif character == ":":
            self._is_key = False
        return "", False

    def _within(self, character: str) -> str:
        if self._escaped:
            self._escaped = False
            # What spaces words is a space; the guard reads codes itself.
            return " " if character in "nrtbf" else "\\u" if character == "u" else character
        if character == "\\":
            self._escaped = True
            return ""
        if character == '"':
            self._in_string = False
            return ""
        return character


_PIECE = re.compile(r"\\u[0-9A-Fa-f]{4}|\\[^u]|\\u(?=.{0,3}[^0-9A-Fa-f])|[^\\]", re.DOTALL)
"""An escape, one that is none, or a character that stands for itself."""
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_UNPAIRED = "\N{REPLACEMENT CHARACTER}"


class GuardedJson:
    """Releases text once no rule can turn what it spells into a match.

    A masked character that was escaped leaves as one star, without its escape.
    """

    def __init__(self, policy: CompiledPolicy) -> None:
        self._guard = policy.stream(Direction.OUTPUT, each_rule_once=True)
        self._left = ""
        """The beginning of an escape."""
        self._high = ""
        """The first half of a character that is spelled by two escapes."""
        self._written: deque[str] = deque()
        """How each character that was not released is written."""
        self._spelled = ""
        self.blocked = False
        """A rule blocks; nothing comes out any more."""
        self.matches: tuple[RuleMatch, ...] = ()
        """What rules matched, once that is settled."""
        self.has_masked = False
        """A character that was escaped was masked."""

    def push(self, text: str) -> str:
        """What may be shown of this text and of what was held back."""
        if self.blocked:
            return ""
        self._left += text
        at, spelled = 0, ""
        while found := _PIECE.match(self._left, at):
            spelled += self._read(found.group())
            at = found.end()
        self._left = self._left[at:]
        return self._released(spelled)

    def finish(self) -> str:
        """What was held back, once the text is complete."""
        rest = self._read_high() if self._high else ""
        for character in self._left:
            rest += self._add(character, character)
        self._left = ""
        text = self._released(rest)
        return text if self.blocked else text + self._take(self._guard.finish())

    @property
    def holds(self) -> bool:
        """Whether anything is held back."""
        return bool(self._left or self._high or self._written)

    def _read(self, piece: str) -> str:
        """The characters that are complete with this piece."""
        before = ""
        code = int(piece[2:], 16) if len(piece) == 6 else 0
        if self._high:
            if 0xDC00 <= code <= 0xDFFF:
                written, self._high = self._high + piece, ""
                pair = 0x10000 + ((int(written[2:6], 16) - 0xD800) << 10) + code - 0xDC00
                return self._add(written, chr(pair))
            before = self._read_high()
        if 0xD800 <= code <= 0xDBFF:
            self._high = piece
            return before
        if code:
            character = _UNPAIRED if 0xDC00 <= code <= 0xDFFF else chr(code)
        else:
            character = _ESCAPED.get(piece[-1], piece[-1]) if len(piece) == 2 else piece[-1]
        return before + self._add(piece, character)

    def _read_high(self) -> str:
        written, self._high = self._high, ""
        return self._add(written, _UNPAIRED)

    def _add(self, written: str, character: str) -> str:
        self._written.append(written)
        return character

    def _released(self, spelled: str) -> str:
        self._spelled += spelled
        return self._take(self._guard.push(spelled)) if spelled else ""

    def _take(self, released: Released) -> str:
        verdict = released.verdict
        if verdict is not None:
            self.blocked, self.matches = verdict.action is Action.BLOCK, verdict.matches
        shown = []
        for place, character in enumerate(released.text):
            written = self._written.popleft()
            masked = character == MASK and self._spelled[place] != MASK
            self.has_masked |= masked and len(written) > 1
            shown.append(MASK if masked else written)
        self._spelled = self._spelled[len(released.text) :]
        return "".join(shown)


class GuardedCall(NamedTuple):
    """The call as it may leave, or None when it may not, and what rules matched in it."""

    call: ToolCall | None
    matches: tuple[RuleMatch, ...] = ()


class _BlockedError(Exception):
    """A rule forbids it."""


def guarded_call(call: ToolCall, policy: CompiledPolicy) -> GuardedCall:
    """What may leave of a call.

    Masks fall on texts within the arguments, read without the escapes in which JSON may hide
    them. What matches elsewhere, in a name, a key, a number, or across texts, cannot be masked
    without making another call of it, and is blocked.
    """
    parts = _Parts(policy)
    try:
        arguments = json.loads(call.arguments)
        masked = json.dumps(parts.masked(arguments), ensure_ascii=False)
        parts.pass_whole(call.name)
        parts.pass_whole(masked)
        parts.pass_joined([call.name, arguments])
    except (_BlockedError, TextTooLongError, ValueError, RecursionError):
        return GuardedCall(None, tuple(parts.matches))
    # Of a repeated key only what was judged leaves.
    is_as_judged = json.loads(masked) == read_json(call.arguments)
    passed = call if is_as_judged else call._replace(arguments=masked)
    return GuardedCall(passed, tuple(parts.matches))


class _Parts:
    """Judges the parts of one call, and keeps what matched."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self.matches: list[RuleMatch] = []
        self._policy = policy

    def masked(self, value: Any) -> Any:
        """The value with masks on its texts."""
        if isinstance(value, dict):
            for key in value:
                self.pass_whole(key)
            return {key: self.masked(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.masked(inner) for inner in value]
        if not isinstance(value, str):
            return value
        verdict = self._judged(value)
        if verdict.action is Action.BLOCK:
            raise _BlockedError
        return verdict.text

    def pass_whole(self, text: str) -> None:
        """Raise unless the text may leave as it is."""
        if self._judged(text).action > Action.FLAG:
            raise _BlockedError

    def pass_joined(self, document: Any) -> None:
        """Raise if a rule blocks what its strings say together."""
        for text in joined_strings(document):
            verdict = self._policy.check(text, Direction.OUTPUT, each_rule_once=True)
            if verdict.action is Action.BLOCK:
                self.matches += verdict.matches
                raise _BlockedError

    def _judged(self, text: str) -> Verdict:
        verdict = self._policy.check(text, Direction.OUTPUT, each_rule_once=True)
        self.matches += verdict.matches
        return verdict
