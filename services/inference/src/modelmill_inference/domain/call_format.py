"""How the calls of an answer are written, by the model's own chat template or in plain words.

A template that knows no tools says nothing of them to the model, and writes no calls. A call can be
demanded of such a model all the same: it is told of the functions in a turn, and a grammar holds
what it writes to a JSON object of name and arguments. Left to itself it would not know when.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelmill_tokenization import Function, Turn
from modelmill_tokenization.token_decoder import TokenDecoder, ToolMarks
from modelmill_tokenization.tool_format import ToolFormat
from modelmill_tokenization.tool_turns import TurnShape

PLAIN_FORM = ToolFormat(
    opening="",
    also_opens=(),
    between=None,
    closing="",
    name_key="name",
    arguments_key="arguments",
    to_arguments="",
    frame=('{"name": "', '", "arguments": ', "}"),
    arguments_first=False,
    shape=TurnShape(),
)
ASKED = (
    "Answer by calling one of these functions. Write nothing but a JSON object with the name of "
    'the function and its arguments, {"name": ..., "arguments": {...}}.'
)
RESULT = "Result of"


@dataclass(frozen=True, slots=True)
class CallFormat:
    """A form of calls, and the marks of the special tokens in it."""

    form: ToolFormat
    marks: ToolMarks
    needs_tool_prompt: bool = False
    """The model has to be told of the functions in a turn: its template would not."""


PLAIN = CallFormat(PLAIN_FORM, ToolMarks({}, ()), needs_tool_prompt=True)


def call_format_of(tokenizer: TokenDecoder, *, must_call: bool) -> CallFormat | None:
    """How this model writes calls; None where it writes none that can be read.

    Args:
        must_call: whether the answer has to be a call, which a grammar sees to.
    """
    if tokenizer.knows_tools and tokenizer.tool_format is not None:
        return CallFormat(tokenizer.tool_format, tokenizer.tool_marks)
    return PLAIN if must_call else None


def has_calls(messages: Sequence[Turn]) -> bool:
    """Whether there are calls among the turns, or results of some."""
    return any(turn["role"] == "tool" or turn.get("tool_calls") for turn in messages)


def calls_as_text(messages: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns with calls as the text that they are asked for in, and results as a user's turns.

    Results that follow each other are one turn: many templates want roles to take turns.
    """
    said: list[Turn] = []
    names: dict[str, str] = {}
    after_result = False
    for turn in messages:
        is_result = turn["role"] == "tool"
        if is_result:
            name = names.get(turn.get("tool_call_id", ""), "the function")
            text = f"{RESULT} {name}: {turn['content']}"
            if after_result:
                text = f"{said.pop()['content']}\n{text}"
            said.append({"role": "user", "content": text})
        else:
            names |= {call["id"]: call["name"] for call in turn.get("tool_calls", ())}
            said.append({"role": turn["role"], "content": "\n".join(_lines(turn))})
        after_result = is_result
    return tuple(said)


def with_tool_prompt(
    messages: Sequence[Turn], offered: Sequence[Function], *, has_system: bool
) -> tuple[Turn, ...]:
    """The turns with the functions in the system's turn, which is added where there is none.

    Args:
        has_system: False for a template that knows no such role: then the first turn tells of them.
    """
    lines = [ASKED, *(json.dumps(dict(each), ensure_ascii=False) for each in offered)]
    text = "\n".join(lines)
    first, *rest = messages
    if has_system and first["role"] != "system":
        return ({"role": "system", "content": text}, *messages)
    joined = [first["content"], text] if has_system else [text, first["content"]]
    return ({**first, "content": "\n\n".join(part for part in joined if part)}, *rest)


def _lines(turn: Turn) -> Iterator[str]:
    if turn["content"] or not turn.get("tool_calls"):
        yield turn["content"]
    before, between, behind = PLAIN_FORM.frame
    for call in turn.get("tool_calls", ()):
        yield f"{before}{call['name']}{between}{call['arguments'] or '{}'}{behind}"
