"""Functions and their calls, as OpenAI's clients send and read them."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from modelmill_gateway.domain import chat
from modelmill_gateway.domain.chat import Tool
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.schemas.parsing import OpenBody

MAX_TOOLS = 128
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class FunctionBody(OpenBody):
    """Function that the model may call."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of its arguments.")


class ToolBody(OpenBody):
    """A tool; functions are the only ones."""

    type: Literal["function"]
    function: FunctionBody

    @property
    def tool(self) -> Tool:
        """As the domain has it."""
        schema = self.function.parameters
        text = "" if schema is None else json.dumps(schema, ensure_ascii=False)
        return Tool(self.function.name, self.function.description or "", text)


class CalledFunctionBody(OpenBody):
    """Called function and its arguments."""

    name: FunctionName
    arguments: str = Field(description="Arguments: a JSON object as text.")


class ToolCallBody(OpenBody):
    """Tool call that the assistant made."""

    id: str = Field(min_length=1, max_length=256)
    type: Literal["function"]
    function: CalledFunctionBody

    @property
    def call(self) -> chat.ToolCall:
        """As the domain has it."""
        return chat.ToolCall(self.id, self.function.name, self.function.arguments)


class NamedFunction(OpenBody):
    """A function by its name."""

    name: FunctionName


class ChosenTool(OpenBody):
    """Tool choice: the function that must be called."""

    type: Literal["function"]
    function: NamedFunction


ToolChoice = Literal["none", "auto", "required"] | ChosenTool


def chosen_name(choice: ToolChoice | None, tools: tuple[Tool, ...]) -> str:
    """The choice in one word; see `checked_choice`."""
    if isinstance(choice, ChosenTool):
        return checked_choice("", choice.function.name, tools)
    return checked_choice(choice or "auto", "", tools)


def checked_choice(word: str, name: str, tools: tuple[Tool, ...]) -> str:
    """The choice in one word: auto, none, required, or the name of the tool that must be called.

    Raises:
        BadRequestError: no tool can be called as it is demanded.
    """
    if name and name not in {tool.name for tool in tools}:
        raise BadRequestError(f"tool_choice: no tool is named {name}", param="tool_choice")
    if word == "required" and not tools:
        raise BadRequestError("tool_choice: there are no tools", param="tool_choice")
    return name or word


def may_call_several(choice: object, tools: Sequence[object] | None) -> bool:
    """Whether an answer may have several calls: one that must be a call is one call."""
    return bool(tools) and choice in (None, "auto")


class CalledFunction(TypedDict):
    """A function and its arguments, a JSON object as text."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """Function call that the model asks for. What a policy masks is masked in its arguments."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class ToolCallDelta(ToolCall):
    """Tool call at an index; it comes whole."""

    index: int


def tool_call(call: chat.ToolCall) -> ToolCall:
    """A call as OpenAI shows it."""
    function: CalledFunction = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
