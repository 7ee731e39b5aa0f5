"""Evaluation items and suites, independent of their source (dataset or task)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Turns = tuple[Mapping[str, Any], ...]
"""Messages in OpenAI's format."""


@dataclass(frozen=True)
class Prompt:
    """Prompt of an item: chat messages, or raw text."""

    turns: Turns = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    text: str = ""

    @property
    def content(self) -> str:
        """Concatenated text, by which slices by length and script group rows."""
        return self.text or "\n".join(str(turn.get("content") or "") for turn in self.turns)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A prompt with its reference answer."""

    key: str
    """Row number, unique within the suite."""
    prompt: Prompt
    reference: str
    """Reference answer."""
    continuations: tuple[str, ...]
    """Texts whose likelihood after the prompt is scored: each choice, or only the reference."""
    choices: tuple[str, ...] = ()
    """Same length as `continuations`, or empty."""
    right: int | None = None
    """Index of the correct choice."""
    is_generative: bool = True
    """Whether an answer can be generated, and not only scored."""
    stops: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Columns that slices can group by."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Items whose metrics are computed together."""

    name: str
    items: tuple[Item, ...]
    measures: tuple[str, ...]
    shown: tuple[str, ...] = ()
    """Metrics that the report shows; empty for all."""
    max_new_tokens: int
    rows: int
    """Rows before sampling."""
    skipped: int = 0
    """Sampled rows that could not become items."""
    first_skipped: str = ""
    """Reason for the first skipped row."""
