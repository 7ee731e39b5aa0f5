"""Tool-call format of a chat template, found by rendering examples."""

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from modelmill_service_kit.errors import InvalidInputError

from modelmill_tokenization.chat_template import ChatTemplate
from modelmill_tokenization.tool_turns import Function, FunctionCall, Turn, TurnShape

_NAMES = ("probefunctionone", "probefunctiontwo")
_ARGUMENTS = ({"probeone": "x"}, {"probetwo": "y"})
_ANSWER = "probeanswer"
_TOOL: Function = {
    "name": _NAMES[0],
    "description": "A probe.",
    "parameters": {
        "type": "object",
        "properties": {"probeone": {"type": "string", "description": "A probe."}},
    },
}
_QUESTION: Turn = {"role": "user", "content": "question"}
_IDS = ("probe0001", "probe0002")
"""Nine letters and digits: what Mistral's templates insist on."""
PYTHON_TAG = "<|python_tag|>"
"""Llama 3 writes it before a call when it likes to; its template writes none."""
_BOUNDARIES = tuple(" \n>]}")
"""What a head of a turn ends with."""


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """What a template wants to be given, and what the model writes when it calls.

    An answer with calls is `opening`, a body, (`between`, a body,)* `closing`; white space around
    each of them does not count. A body is a JSON object that has the name under `name_key` and the
    arguments under `arguments_key`, or, where there is no `name_key`, the name, `to_arguments` and
    the arguments.
    """

    opening: str
    also_opens: tuple[str, ...]
    """What the model may write instead of an empty `opening`."""
    between: str | None
    """None: one call at most."""
    closing: str
    name_key: str
    arguments_key: str
    to_arguments: str
    frame: tuple[str, str, str]
    """A whole turn of one call, cut at the name and at the arguments; which come in this order,
    unless `arguments_first`."""
    arguments_first: bool
    shape: TurnShape

    @property
    def texts(self) -> tuple[str, ...]:
        """All that a call is written with, beside names and arguments."""
        return (
            *(self.opening, *self.also_opens),
            *(self.between or "", self.closing, self.to_arguments),
        )

    def around_arguments(self, name: str) -> tuple[str, str]:
        """What a turn of one call of this function has before and behind its arguments."""
        first, second, third = self.frame
        if self.arguments_first:
            return first, second + name + third
        return first + name + second, third


class _Body(NamedTuple):
    """Where one call stands in a rendering."""

    start: int
    end: int
    name_at: int
    arguments_at: int
    arguments_end: int
    name_key: str = ""
    arguments_key: str = ""


def knows_tools(template: ChatTemplate) -> bool:
    """Whether the template tells the model of the functions that it is given."""
    try:
        rendered = template.render([_QUESTION], add_generation_prompt=True, tools=[_TOOL])
    except InvalidInputError:
        return False
    return _NAMES[0] in rendered


def find_tool_format(
    template: ChatTemplate, turn_ends: Iterable[str], added: Container[str]
) -> ToolFormat | None:
    """The format of a template's calls; None when it writes none, or none with JSON arguments.

    Args:
        turn_ends: tokens that can end a turn.
        added: all tokens that are no part of text.
    """
    ends = tuple(turn_ends)
    for as_none, as_text in product((False, True), repeat=2):
        shape = TurnShape(arguments_as_text=as_text, empty_as_none=as_none)
        try:
            turn = _turn_of_calls(template, 1, ends, shape)
        except InvalidInputError:
            continue
        body = None if turn is None else _find_body(turn, 0, 0)
        if turn is not None and body is not None:
            between = _find_between(template, ends, shape)
            also = (PYTHON_TAG,) if PYTHON_TAG in added else ()
            return _format(turn, body, between, shape, also)
    return None


def _format(
    turn: str, body: _Body, between: str | None, shape: TurnShape, also: tuple[str, ...]
) -> ToolFormat:
    opening = turn[: body.start].strip()
    cuts = sorted(
        [
            (body.name_at, body.name_at + len(_NAMES[0])),
            (body.arguments_at, body.arguments_end),
        ]
    )
    return ToolFormat(
        opening=opening,
        also_opens=() if opening else also,
        between=between,
        closing=turn[body.end :].strip(),
        name_key=body.name_key,
        arguments_key=body.arguments_key,
        to_arguments="" if body.name_key else turn[cuts[0][1] : cuts[1][0]].strip(),
        frame=(turn[: cuts[0][0]], turn[cuts[0][1] : cuts[1][0]], turn[cuts[1][1] :]),
        arguments_first=body.arguments_at < body.name_at,
        shape=shape,
    )


def _find_between(template: ChatTemplate, ends: Sequence[str], shape: TurnShape) -> str | None:
    try:
        turn = _turn_of_calls(template, 2, ends, shape)
    except InvalidInputError:
        return None
    first = None if turn is None else _find_body(turn, 0, 0)
    second = None if turn is None or first is None else _find_body(turn, first.end, 1)
    if turn is None or first is None or second is None:
        return None
    return turn[first.end : second.start].strip()


def _turn_of_calls(
    template: ChatTemplate, calls: int, ends: Sequence[str], shape: TurnShape
) -> str | None:
    """What the template writes for an assistant's turn of calls, without head and end."""

    def rendered(turn: Turn) -> str:
        return template.render(
            [_QUESTION, turn], add_generation_prompt=False, tools=[_TOOL], shape=shape
        )

    made: list[FunctionCall] = [
        {"id": call_id, "name": name, "arguments": json.dumps(arguments)}
        for call_id, name, arguments in zip(_IDS, _NAMES, _ARGUMENTS, strict=True)
    ]
    with_calls = rendered({"role": "assistant", "content": "", "tool_calls": made[:calls]})
    head = rendered({"role": "assistant", "content": _ANSWER}).rpartition(_ANSWER)[0]
    start = _common(head, with_calls)
    if start < len(head):
        # A space or a tag that only answers begin with; the head ends before what both begin with.
        while start and not with_calls[:start].endswith(_BOUNDARIES):
            start -= 1
    turn = with_calls[start:]
    last = turn.rfind(_NAMES[calls - 1])
    if last < 0:
        return None
    found = [at for end in ends if (at := turn.find(end, last)) >= 0]
    return turn[: min(found)] if found else turn


def _find_body(turn: str, start: int, number: int) -> _Body | None:
    """The first call from there on: an object that has name and arguments, or both apart."""
    name, arguments = _NAMES[number], _ARGUMENTS[number]
    named = turn.find(name, start)
    for begin, end, value in _objects(turn, start):
        keys = {json.dumps(it, sort_keys=True): key for key, it in value.items()}
        name_key = keys.get(json.dumps(name))
        arguments_key = keys.get(json.dumps(arguments, sort_keys=True))
        if name_key is not None and arguments_key is not None:
            inner = next(_objects_equal(turn, begin + 1, arguments))
            return _Body(begin, end, named, *inner, name_key, arguments_key)
    for begin, end in _objects_equal(turn, max(named, start), arguments):
        if 0 <= named < begin:
            return _Body(named, end, named, begin, end)
    return None


def _objects(text: str, start: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Every JSON object in the text, outer ones before those within."""
    decoder = json.JSONDecoder()
    at = text.find("{", start)
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            pass
        else:
            yield at, end, value
        at = text.find("{", at + 1)


def _objects_equal(text: str, start: int, wanted: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    return ((begin, end) for begin, end, value in _objects(text, start) if value == wanted)


def _common(left: str, right: str) -> int:
    """Characters that both begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(left), len(right)))
