"""Conversations that every model is asked: what tokenizers, templates and exports differ on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Conversation:
    """What is asked; the model's answer follows the last turn."""

    name: str
    """Of the golden, for people."""
    messages: Sequence[Message]
    """In the form of `tokenization.Turn`."""
    tools: Sequence[Mapping[str, Any]] = ()
    """In the form of `tokenization.Function`."""
    trained_ids: tuple[int, ...] = ()
    """The prompt as training read it; empty for one that training has not seen."""


_WEATHER = {
    "name": "get_weather",
    "description": "Says how the weather is.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Where"}},
        "required": ["city"],
    },
}


def _turns(*contents: tuple[str, str]) -> tuple[Message, ...]:
    return tuple({"role": role, "content": content} for role, content in contents)


FIXED = (
    Conversation("plain", _turns(("user", "What is 12,345 + 1?"))),
    Conversation(
        "system", _turns(("system", "Be brief."), ("user", "Name three  kinds\tof birds."))
    ),
    Conversation(
        "turns",
        _turns(
            ("user", "Who wrote Faust?"), ("assistant", "Goethe."), ("user", "And when?\n\n1808?")
        ),
    ),
    Conversation("chinese", _turns(("user", "价格是多少？请用中文回答。"))),
    Conversation("emoji", _turns(("user", "naïve café 🙂 🏳️‍🌈: def f(x): return x**2"))),
)
WITH_TOOLS = Conversation("tools", _turns(("user", "How is the weather in Zürich?")), (_WEATHER,))
"""For models whose chat template knows tools."""
