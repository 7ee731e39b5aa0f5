"""Renders and tokenizes the prompt of a request."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization import Function, Turn

from modelmill_inference.domain.call_format import (
    call_format_of,
    calls_as_text,
    has_calls,
    with_tool_prompt,
)
from modelmill_inference.domain.generation import check_prompt_length
from modelmill_inference.load_version import LoadedVersion

FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
NO_CALLS = "none"
ANY_CALL = "required"
CHOICES = ("auto", NO_CALLS, ANY_CALL)
ROLES = frozenset({"system", "user", "assistant", "tool"})


@dataclass(frozen=True, slots=True)
class Prompt:
    """Chat messages or plain text, not both."""

    messages: tuple[Turn, ...] | None
    text: str = ""
    """Used unchanged if there are no messages."""
    tools: tuple[Function, ...] = ()
    """Functions that the model may call."""
    tool_choice: str = "auto"
    """"auto", "none", "required", or the name of the forced function."""

    def check(self) -> None:
        """Validate the conversation; InvalidInputError lists every error."""
        if self.messages is not None:
            _check_messages(self.messages)
        if errors := list(_tool_errors(self.tools, self.tool_choice)):
            raise InvalidInputError(errors)

    @property
    def offered(self) -> tuple[Function, ...]:
        """The functions that this answer may call."""
        if self.tool_choice in CHOICES:
            return () if self.tool_choice == NO_CALLS else self.tools
        return tuple(tool for tool in self.tools if tool["name"] == self.tool_choice)

    @property
    def must_call(self) -> bool:
        """Whether the answer must be a tool call."""
        return self.tool_choice not in ("auto", NO_CALLS)

    @property
    def characters(self) -> int:
        """Lower bound of the characters to encode: a template adds some, and may omit tools."""
        return len(self.text) + sum(len(turn["content"]) for turn in self.messages or ())


async def prompt_tokens(prompt: Prompt, version: LoadedVersion, tenant: str) -> list[int]:
    """Token ids, made in a resource-limited process: template and tokenizer are untrusted.

    Args:
        tenant: whose request it is.

    Raises:
        PromptTooLongError: it exceeds the context.
        InvalidInputError: the model has no chat template, or it rejects the messages.
        LimitError: template or tokenizer exceeded a resource limit.
        OverloadedError: they exceeded a limit recently and are blocked for a while.
    """
    check_prompt_length(prompt.characters, version.tokenizer.longest_token, version.limits)
    if prompt.messages is None:
        [tokens] = await version.prompts.encode(tenant, [prompt.text])
        return tokens
    tokenizer, messages, offered = version.tokenizer, prompt.messages, prompt.offered
    call_format = call_format_of(tokenizer, must_call=prompt.must_call)
    if offered and call_format is None:
        why = (
            "how the model's chat template writes calls cannot be told from it"
            if tokenizer.knows_tools
            else "the model's chat template ignores tools"
        )
        raise InvalidInputError(f"{why}. Send none, or demand a call by tool_choice")
    if has_calls(messages) and tokenizer.tool_format is None:
        messages = calls_as_text(messages)
    if call_format is None or not call_format.needs_tool_prompt:
        return await version.prompts.encode_prompt(tenant, messages, offered)
    try:
        told = with_tool_prompt(messages, offered, has_system=True)
        return await version.prompts.encode_prompt(tenant, told, ())
    except InvalidInputError:
        # Some templates have no system role, and reject the added message.
        if messages[0]["role"] == "system":
            raise
    told = with_tool_prompt(messages, offered, has_system=False)
    return await version.prompts.encode_prompt(tenant, told, ())


async def encoded_texts(
    texts: Sequence[str], version: LoadedVersion, tenant: str
) -> list[list[int]]:
    """Token ids of each text; raises as `prompt_tokens`."""
    for text in texts:
        check_prompt_length(len(text), version.tokenizer.longest_token, version.limits)
    return await version.prompts.encode(tenant, texts)


def functions_of(tools: Sequence[tuple[str, str, str]]) -> tuple[Function, ...]:
    """Parse functions given as name, description and JSON schema text; empty for no arguments.

    Raises:
        InvalidInputError: a schema is not a JSON object; lists all.
    """
    errors: list[str] = []
    functions: list[Function] = []
    for name, description, text in tools:
        try:
            schema = json.loads(text or '{"type": "object", "properties": {}}')
        except (ValueError, RecursionError):
            schema = None
        if isinstance(schema, dict):
            functions.append({"name": name, "description": description, "parameters": schema})
        else:
            errors.append(f"the parameters of tool {name[:64]!r} must be a JSON schema, an object")
    if errors:
        raise InvalidInputError(errors)
    return tuple(functions)


def _tool_errors(tools: Sequence[Function], choice: str) -> Iterator[str]:
    names = [tool["name"] for tool in tools]
    for name in names:
        if not FUNCTION_NAME.fullmatch(name):
            yield f"a tool is named {name[:64]!r}; 1 to 64 letters, digits, _ and - are allowed"
    if len(set(names)) < len(names):
        yield "two tools have the same name"
    if choice == ANY_CALL and not tools:
        yield "tool_choice is required, but there are no tools"
    if choice not in (*CHOICES, *names):
        yield f"tool_choice names {choice[:64]!r}, which is none of the tools"


def _check_messages(messages: Sequence[Turn]) -> None:
    if not messages:
        raise InvalidInputError("conversation has no messages")
    errors = [
        f"message {number} has role {turn['role'][:40]!r}; it must be one of {sorted(ROLES)}"
        for number, turn in enumerate(messages)
        if turn["role"] not in ROLES
    ]
    if errors:
        raise InvalidInputError(errors)
