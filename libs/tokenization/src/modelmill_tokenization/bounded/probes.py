"""Conversations and texts that a tokenizer is tried with before anybody trusts it."""

from collections.abc import Mapping, Sequence

from modelmill_service_kit.errors import InvalidInputError

from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.tool_turns import Function, Turn

_LONG = 10_000
"""Characters of a probe text: enough for a bad expression to show, and nothing for a good one."""
_WORDS = "A thing is worth what people give for it, 12345 times. \u4ef7\u683c \U0001f642\n"
_TOOL: Function = {
    "name": "look_up",
    "description": "Looks a word up.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
}
_SYSTEM: Turn = {"role": "system", "content": "Answer briefly."}
_ASKED: Turn = {"role": "user", "content": "What is it worth?"}
_SAID: Turn = {"role": "assistant", "content": "What people give."}
_CALL: Turn = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "probe0001", "name": "look_up", "arguments": '{"word": "worth"}'}],
}
_FOUND: Turn = {"role": "tool", "content": "value", "tool_call_id": "probe0001"}
_PLAIN = "conversation of one turn"
CONVERSATIONS: Mapping[str, Sequence[Turn]] = {
    _PLAIN: [_ASKED],
    "conversation with a system turn": [_SYSTEM, _ASKED],
    "conversation of several turns": [_ASKED, _SAID, _ASKED, _SAID, _ASKED],
    "conversation that ends with an answer": [_ASKED, _SAID],
    "conversation with tools": [_SYSTEM, _ASKED],
    "conversation with a call of a tool": [_ASKED, _CALL, _FOUND],
    "long conversation": [_ASKED, _SAID] * 100 + [_ASKED],
    "conversation of a long turn": [{"role": "user", "content": _WORDS * 200}],
}
"""A template may refuse any but the first: not every model knows systems and tools."""
_WITH_TOOLS = ("conversation with tools", "conversation with a call of a tool")
TEXTS: Mapping[str, str] = {
    "text of words": _WORDS * 200,
    "text without spaces": "a" * _LONG + "!",
    "text of spaces": " " * _LONG + "!",
    "text of digits": "1" * _LONG + "!",
    "text of capitals": "A" * _LONG + "!",
    "text of letters of two kinds": "ab" * (_LONG // 2) + "!",
    "text of signs": "-" * _LONG + "a",
    "text of new lines": "\n" * _LONG + "!",
    "text of marks": "e" + "\u0301" * _LONG,
    "text of Chinese": "\u4ef7" * _LONG + "!",
}
PROBES = (*CONVERSATIONS, *TEXTS)


def probe(tokenizer: ChatTokenizer, name: str) -> bool:
    """Render, encode and decode one of `PROBES`; whether the template takes it.

    Raises:
        InvalidInputError: it takes not even the simplest, or what it makes cannot be encoded.
    """
    if name in TEXTS:
        tokenizer.decode(tokenizer.encode(TEXTS[name]))
        return True
    tools = [_TOOL] if name in _WITH_TOOLS else []
    if not tokenizer.has_template or (tools and not tokenizer.knows_tools):
        return False
    turns = CONVERSATIONS[name]
    try:
        for ask in (True, False):
            text = tokenizer.render(turns, add_generation_prompt=ask, tools=tools)
            tokenizer.decode(tokenizer.encode(text))
    except InvalidInputError:
        if name == _PLAIN:
            raise
        return False
    return True
