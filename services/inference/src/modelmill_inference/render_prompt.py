"""From what a caller sent to the ids that an engine is given."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization import Function, Turn

from modelmill_inference.domain.call_writing import call_writing, has_calls, told_of, without_calls
from modelmill_inference.domain.generation import check_prompt_length
from modelmill_inference.load_version import LoadedVersion

FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
NO_CALLS = "none"
ANY_CALL = "required"
CHOICES = ("auto", NO_CALLS, ANY_CALL)
ROLES = frozenset({"system", "user", "assistant", "tool"})


@dataclass(frozen=True, slots=True)
class Prompt:
    """Turns or plain text, not both."""

    turns: tuple[Turn, ...] | None
    text: str = ""
    """Used as it is when there are no turns."""
    tools: tuple[Function, ...] = ()
    """Functions that the model may call."""
    tool_choice: str = "auto"
    """"auto", "none", "required", or the one that must be called."""

    def check(self) -> None:
        """Refuse a conversation that no template could render; InvalidInputError, all errors."""
        if self.turns is not None:
            _check_turns(self.turns)
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
        """Whether the answer has to be a call."""
        return self.tool_choice not in ("auto", NO_CALLS)

    @property
    def characters(self) -> int:
        """Characters to be encoded at least: a template adds some, and may leave tools out."""
        return len(self.text) + sum(len(turn["content"]) for turn in self.turns or ())


async def prompt_tokens(prompt: Prompt, version: LoadedVersion, tenant: str) -> list[int]:
    """Its ids, made in a bounded process: template and tokenizer are foreign code.

    Args:
        tenant: whose request it is.

    Raises:
        PromptTooLongError: it cannot fit.
        InvalidInputError: the model has no chat template, or it refuses the turns.
        LimitError: template or tokenizer took more than they may.
        OverloadedError: they did before, and are not run for a while.
    """
    check_prompt_length(prompt.characters, version.tokenizer.longest_token, version.limits)
    if prompt.turns is None:
        [tokens] = await version.prompts.encode(tenant, [prompt.text])
        return tokens
    tokenizer, turns, offered = version.tokenizer, prompt.turns, prompt.offered
    writing = call_writing(tokenizer, must_call=prompt.must_call)
    if offered and writing is None:
        why = (
            "how the model's chat template writes calls cannot be told from it"
            if tokenizer.knows_tools
            else "the model's chat template ignores tools"
        )
        raise InvalidInputError(f"{why}. Send none, or demand a call by tool_choice")
    if has_calls(turns) and tokenizer.tool_format is None:
        turns = without_calls(turns)
    if writing is None or not writing.in_words:
        return await version.prompts.encode_prompt(tenant, turns, offered)
    try:
        told = told_of(turns, offered, has_system=True)
        return await version.prompts.encode_prompt(tenant, told, ())
    except InvalidInputError:
        # Some templates know no role of the system's, and refuse the turn that was added.
        if turns[0]["role"] == "system":
            raise
    told = told_of(turns, offered, has_system=False)
    return await version.prompts.encode_prompt(tenant, told, ())


async def encoded_texts(
    texts: Sequence[str], version: LoadedVersion, tenant: str
) -> list[list[int]]:
    """Ids of each text; raises as `prompt_tokens`."""
    for text in texts:
        check_prompt_length(len(text), version.tokenizer.longest_token, version.limits)
    return await version.prompts.encode(tenant, texts)


def functions_of(tools: Sequence[tuple[str, str, str]]) -> tuple[Function, ...]:
    """Functions by name, description and schema as JSON text; empty text means no arguments.

    Raises:
        InvalidInputError: a schema is no JSON object; names all.
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


def _check_turns(turns: Sequence[Turn]) -> None:
    if not turns:
        raise InvalidInputError("conversation has no messages")
    errors = [
        f"message {number} has role {turn['role'][:40]!r}; it must be one of {sorted(ROLES)}"
        for number, turn in enumerate(turns)
        if turn["role"] not in ROLES
    ]
    if errors:
        raise InvalidInputError(errors)
