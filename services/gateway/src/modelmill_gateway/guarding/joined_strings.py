"""The strings of a JSON text on its way out, judged as one text: a reader may join them.

What a rule blocks may be shared out among the items of a list or the values of an object. So the
strings are judged joined by spaces, once with the keys of objects and once without. Only blocks
count: what a mask would hide across strings cannot be hidden without making another document of it.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.verdict import Action, Direction, RuleMatch

_BEGINS = ("{", "[")


def may_be_json(text: str) -> bool:
    """Whether the beginning of an answer is one of a JSON document with strings to be joined."""
    return text.lstrip().startswith(_BEGINS)


def strings_together(text: str) -> list[str]:
    """The strings of a text, joined, if it is JSON."""
    if not may_be_json(text):
        return []
    try:
        return joined_strings(json.loads(text))
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
