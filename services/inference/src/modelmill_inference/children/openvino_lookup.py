"""Prompt lookup: a request that runs alone drafts tokens from its own text, several a step.

What followed the last tokens where they stood before is the draft, and one pass of the model
accepts what it would have said itself. GenAI 2026.4.1 has it as a property of a pipeline, which
then drafts for every request: hence a second pipeline beside that of the batch, for requests that
it answers exactly and that have the machine for themselves. Beside others, a pass is better filled
with their tokens than with drafts. Where answers copy little, drafts cost more than they save:
`DraftChoice` then has most requests go without.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openvino_genai as genai

GENERATION_CONFIG = "generation_config.json"
PROPERTY = {"prompt_lookup": True}
MOST_DRAFTED, MOST_MATCHED = 16, 8
MATCHED = 3
"""Tokens that must have stood there before, at most; fewer are tried when so many did not."""
TRIED_EVERY = 16
"""Of so many requests one goes the slower way, so that it is known when it no longer is."""
REMEMBERED = 0.9
"""What each answer leaves of the weight of those before it."""


@dataclass(frozen=True, slots=True)
class PromptLookup:
    """How much a version's requests draft; by Hugging Face's names in its generation config."""

    prompt_lookup_num_tokens: int
    max_matching_ngram_size: int = MATCHED

    @classmethod
    def of(cls, folder: Path) -> "PromptLookup | None":
        """What the generation config in `folder` says; None where it says nothing of it.

        Raises:
            ValueError: it says what no pipeline takes.
        """
        path = folder / GENERATION_CONFIG
        said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        drafted = said.get("prompt_lookup_num_tokens")
        if drafted is None:
            return None
        matched = said.get("max_matching_ngram_size", MATCHED)
        _check("prompt_lookup_num_tokens", drafted, MOST_DRAFTED)
        _check("max_matching_ngram_size", matched, MOST_MATCHED)
        return cls(drafted, matched)

    def configure(self, config: genai.GenerationConfig) -> genai.GenerationConfig:
        """Have a request draft; the pipeline refuses one without a number."""
        config.num_assistant_tokens = self.prompt_lookup_num_tokens
        config.max_ngram_size = self.max_matching_ngram_size
        return config


def _check(name: str, value: Any, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{GENERATION_CONFIG}: {name} must be 1 to {most}, and is {value!r}")


@dataclass(slots=True)
class _Pace:
    """Tokens and seconds of answers, of which later ones weigh more."""

    tokens: float = 0.0
    seconds: float = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        self.tokens = self.tokens * REMEMBERED + tokens
        self.seconds = self.seconds * REMEMBERED + seconds

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


class DraftChoice:
    """Chooses whether the next request drafts: as those did that were answered faster of late.

    What is asked is not what a build was measured on. Until both ways are known, the first requests
    draft and the next do not.
    """

    def __init__(self) -> None:
        self._paces: dict[bool, _Pace] = {}
        self._chosen = 0

    def drafts(self) -> bool:
        """Choose for a request that runs alone."""
        self._chosen += 1
        if len(self._paces) < 2:
            return True not in self._paces
        is_faster = self._paces[True].rate >= self._paces[False].rate
        return is_faster != (self._chosen % TRIED_EVERY == 0)

    def note(self, *, drafts: bool, tokens: int, seconds: float) -> None:
        """Take in an answer that ran alone: tokens behind its first ones, and their time."""
        if tokens > 0 and seconds > 0:
            self._paces.setdefault(drafts, _Pace()).add(tokens, seconds)


def can_draft(add: Mapping[str, Any]) -> bool:
    """Whether the likeliest token alone says which drafts of a request are right."""
    is_greedy = add["temperature"] == 0 and add["logprobs"] is None and not add["grammar"]
    return is_greedy and not _has_penalty(add)


def _has_penalty(add: Mapping[str, Any]) -> bool:
    none = (0, 0, 1)
    names = ("presence_penalty", "frequency_penalty", "repetition_penalty")
    return tuple(add[name] for name in names) != none
