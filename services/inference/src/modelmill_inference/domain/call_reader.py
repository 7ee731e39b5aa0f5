"""Incremental parser of a tool call, after its opening."""

import json
from collections.abc import Collection, Generator
from typing import Any, NamedTuple

from modelmill_tokenization.token_decoder import ToolMarks
from modelmill_tokenization.tool_format import ToolFormat

LONGEST_NAME = 64

ReadingSession = Generator["ReadCall | None", str, Any]
"""Coroutine that receives characters and yields complete calls."""


class NotACallError(Exception):
    """The text is not a tool call."""


class ReadCall(NamedTuple):
    """Function name, and arguments as JSON object text."""

    name: str
    arguments: str


class CallReader:
    """Parses one call, and calls that follow it without text in between.

    Args:
        rest: remaining part of the opening.
        names: functions that were offered.
    """

    def __init__(
        self, form: ToolFormat, marks: ToolMarks, rest: str, names: Collection[str]
    ) -> None:
        self._names = names
        self._form = form
        self._marks = marks
        self._following = [
            "".join(marks.mark(text).split())
            for text in (form.between, form.closing)
            if text is not None
        ]
        self._to_arguments = "".join(marks.mark(form.to_arguments).split())
        self._unread = 0
        """Characters after the last call that are not part of a call so far."""
        self.has_called = False
        self._reading = self._calls("".join(rest.split()))
        next(self._reading)
        self.unread: int | None = None
        """Set at the end: number of last characters that belong to no call."""

    def feed(self, character: str) -> ReadCall | None:
        """Add a character; returns a call that is complete with it.

        Raises:
            NotACallError: the text is not a call.
        """
        try:
            return self._reading.send(character)
        except StopIteration:
            self.unread = self._unread
            return None

    @property
    def undecided(self) -> int:
        """Number of last characters that belong to no call so far."""
        return self._unread

    def _calls(self, opening: str) -> ReadingSession:
        yield from self._skip(opening)
        while True:
            call = yield from self._body()
            if call.name not in self._names:
                raise NotACallError
            self._unread, self.has_called = 0, True
            character = yield call
            self._unread = 1
            more = yield from self._what_follows(character)
            if not more:
                return

    def _next(self) -> Generator[None, str, str]:
        """The next character that is not white space."""
        while True:
            character = yield
            self._unread += 1
            if not character.isspace():
                return character

    def _skip(self, text: str) -> Generator[None, str, None]:
        for expected in text:
            character = yield from self._next()
            if character != expected:
                raise NotACallError

    def _body(self) -> Generator[None, str, ReadCall]:
        if self._form.name_key:
            text = yield from self._object()
            return self._call_in(text)
        name = ""
        character = yield from self._next()
        while (character.isalnum() and character.isascii()) or character in "_-.":
            name += character
            if len(name) > LONGEST_NAME:
                raise NotACallError
            character = yield
            self._unread += 1
        arguments = self._to_arguments
        if arguments:
            if character.isspace():
                character = yield from self._next()
            if character != arguments[0]:
                raise NotACallError
            yield from self._skip(arguments[1:])
            text = yield from self._object()
        else:
            text = yield from self._object(character)
        return ReadCall(name, _dumped(_loaded(text)))

    def _object(self, first: str = "") -> Generator[None, str, str]:
        """A JSON object, by matching brackets."""
        if not first.strip():
            first = yield from self._next()
        if first != "{":
            raise NotACallError
        characters, depth, quoted, escaped = [first], 1, False, False
        while depth:
            character = yield
            self._unread += 1
            characters.append(character)
            if quoted:
                quoted = escaped or character != '"'
                escaped = character == "\\" and not escaped
            elif character == '"':
                quoted = True
            elif character in "{[":
                depth += 1
            elif character in "}]":
                depth -= 1
        return self._marks.unmark("".join(characters))

    def _what_follows(self, character: str) -> Generator[None, str, bool]:
        """Read the separator or closing after a call; returns whether another call must follow."""
        possible = [text for text in self._following if text]
        if not possible:
            return False
        matched = 0
        while character.isspace():
            character = yield
            self._unread += 1
        while True:
            possible = [it for it in possible if it[matched : matched + 1] == character]
            matched += 1
            if not possible:
                return False
            complete = [it for it in possible if len(it) == matched]
            if complete:
                if self._is_between(complete[0]):
                    return True
                self._unread = 0
                longer = [it for it in possible if len(it) > matched]
                if not longer:
                    return False
                possible = longer
            character = yield from self._next()

    def _is_between(self, text: str) -> bool:
        return self._form.between is not None and text == self._following[0]

    def _call_in(self, text: str) -> ReadCall:
        value = _loaded(text)
        name = value.get(self._form.name_key)
        arguments = value.get(self._form.arguments_key, {})
        if isinstance(arguments, str):
            arguments = _loaded(arguments)
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise NotACallError
        return ReadCall(name, _dumped(arguments))


def _loaded(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise NotACallError from None
    if not isinstance(value, dict):
        raise NotACallError
    return value


def _dumped(arguments: dict[str, Any]) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    # JSON can escape a lone surrogate, which UTF-8 text cannot contain.
    return text if _is_text(text) else json.dumps(arguments)


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _refused(constant: str) -> None:
    raise ValueError(constant)
