"""One question that models are asked, wherever it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Turns = tuple[Mapping[str, Any], ...]
"""Messages as OpenAI writes them."""


@dataclass(frozen=True)
class Prompt:
    """What stands before the answer: turns, or a text as it is."""

    turns: Turns = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    text: str = ""

    @property
    def says(self) -> str:
        """All of its words: what a slice by length or script looks at."""
        return self.text or "\n".join(str(turn.get("content") or "") for turn in self.turns)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A row as a question with its right answer."""

    key: str
    """Unique in its suite: the row's number."""
    prompt: Prompt
    reference: str
    """The right answer."""
    continuations: tuple[str, ...]
    """What is scored after the prompt: each choice, or the right answer alone."""
    choices: tuple[str, ...] = ()
    """As many as continuations, or none."""
    right: int | None = None
    """Index of the right choice."""
    is_open: bool = True
    """Whether an answer can be generated to it."""
    stops: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    """What slices may go by."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Questions that are measured together."""

    name: str
    items: tuple[Item, ...]
    measures: tuple[str, ...]
    shown: tuple[str, ...] = ()
    """Those of them that people are shown; all where it is empty."""
    max_new_tokens: int
    rows: int
    """That there were to choose from."""
    skipped: int = 0
    """Chosen rows that are no questions."""
    first_skipped: str = ""
    """Why, of the first."""
