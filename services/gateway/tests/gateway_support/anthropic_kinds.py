"""Every block, tool, choice and way of thinking that Anthropic documents, and which are served."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from anthropic import types as sdk
from anthropic.types import beta

from gateway_support.anthropic_fields import RESULT, Body, a_message
from gateway_support.messages import QUESTION, TOOL


@dataclass(frozen=True)
class Kinds:
    """What may stand in one place, by its `type`: what is not served is refused by its name."""

    documented: tuple[Any, ...]
    """Unions of the SDK."""
    served: frozenset[str]
    within: Callable[[Body], Body]
    named: str = ""
    """Where the refusal says that it is; otherwise it says the kind."""

    @property
    def all(self) -> set[str]:
        """Every kind that the SDK knows."""
        return {kind for union in self.documented for kind in _kinds(union)}


def _kinds(union: Any) -> Iterator[str]:
    for one in get_args(union):
        if isinstance(one, type):
            yield from _words(get_type_hints(one).get("type"))


def _words(hint: Any) -> Iterator[str]:
    """Of a literal, which may be within an option."""
    for part in get_args(hint):
        yield from [part] if isinstance(part, str) else _words(part)


def _blocks(role: str, at: Mapping[str, Any] | None = None) -> Callable[[Body], Body]:
    def within(block: Body) -> Body:
        content = [at | {"content": [block]}] if at is not None else [block]
        return a_message(messages=[QUESTION, {"role": role, "content": content}, QUESTION])

    return within


BLOCKS = (sdk.ContentBlockParam, beta.BetaContentBlockParam)
KINDS = {
    "user block": Kinds(BLOCKS, frozenset({"text", "tool_result"}), _blocks("user")),
    "assistant block": Kinds(BLOCKS, frozenset({"text", "tool_use"}), _blocks("assistant")),
    "block of a result": Kinds(BLOCKS, frozenset({"text"}), _blocks("user", RESULT)),
    "tool": Kinds(
        (sdk.ToolUnionParam, sdk.MessageCountTokensToolParam, beta.BetaToolUnionParam),
        frozenset({"custom"}),
        lambda tool: a_message(tools=[TOOL | tool]),
        named="tools.0",
    ),
    "thinking": Kinds(
        (sdk.ThinkingConfigParam, beta.BetaThinkingConfigParam),
        frozenset({"disabled"}),
        lambda thinking: a_message(thinking=thinking),
        named="thinking",
    ),
    "choice": Kinds(
        (sdk.ToolChoiceParam, beta.BetaToolChoiceParam),
        frozenset({"auto", "any", "tool", "none"}),
        lambda choice: a_message(tool_choice={"name": "weather"} | choice),
    ),
}
