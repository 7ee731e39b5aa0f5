"""From what a caller sent to the ids that an engine is given."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from service_kit.errors import InvalidInputError
from tokenization import Turn
from tokenization.chat_tokenizer import ChatTokenizer

from inference.domain.generation import check_prompt_length
from inference.load_version import LoadedVersion

LONG_CHARACTERS = 8_000
"""Longer prompts are encoded in a thread; for short ones the hop costs more than the work."""
ROLES = frozenset({"system", "user", "assistant", "tool"})


@dataclass(frozen=True, slots=True)
class Prompt:
    """Turns or plain text, not both."""

    turns: tuple[Turn, ...] | None
    text: str = ""
    """Used as it is when there are no turns."""

    def check(self) -> None:
        """Refuse a conversation that no template could render; InvalidInputError, all errors."""
        if self.turns is not None:
            _check_turns(self.turns)

    @property
    def characters(self) -> int:
        """Characters to be encoded, without what a template adds."""
        return len(self.text) + sum(len(turn["content"]) for turn in self.turns or ())


async def prompt_tokens(prompt: Prompt, version: LoadedVersion) -> list[int]:
    """Its ids.

    Raises:
        PromptTooLongError: it cannot fit.
        InvalidInputError: the model has no chat template, or it refuses the turns.
    """
    check_prompt_length(prompt.characters, version.tokenizer.longest_token, version.limits)
    if prompt.characters > LONG_CHARACTERS:
        return await asyncio.to_thread(_encode, prompt, version.tokenizer)
    return _encode(prompt, version.tokenizer)


def _encode(prompt: Prompt, tokenizer: ChatTokenizer) -> list[int]:
    if prompt.turns is None:
        return tokenizer.encode(prompt.text)
    return tokenizer.encode_prompt(prompt.turns)


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
