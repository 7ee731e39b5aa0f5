"""Format of tool calls: the chat template's own, or a generic JSON object.

A chat template without tool support does not present tools to the model. A call can still be
forced: a message describes the functions, and a grammar enforces a JSON object with name and
arguments. Such a model cannot decide by itself when to call.
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
    """A call format, with the marks of its special tokens."""

    form: ToolFormat
    marks: ToolMarks
    needs_tool_prompt: bool = False
    """Whether a message must describe the functions, because the template does not."""


PLAIN = CallFormat(PLAIN_FORM, ToolMarks({}, ()), needs_tool_prompt=True)


def call_format_of(tokenizer: TokenDecoder, *, must_call: bool) -> CallFormat | None:
    """Call format of a model; None if it has none that can be parsed.

    Args:
        must_call: whether a grammar enforces a call.
    """
    if tokenizer.knows_tools and tokenizer.tool_format is not None:
        return CallFormat(tokenizer.tool_format, tokenizer.tool_marks)
    return PLAIN if must_call else None


def has_calls(messages: Sequence[Turn]) -> bool:
    """Whether the messages contain calls or results."""
    return any(turn["role"] == "tool" or turn.get("tool_calls") for turn in messages)


def calls_as_text(messages: Sequence[Turn]) -> tuple[Turn, ...]:
    """Convert calls to assistant text, and results to user messages.

    Consecutive results become one message, because many templates require alternating roles.
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
    """Add a description of the functions to the system message.

    Args:
        has_system: False for a template without system role: then the first message is extended.
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
