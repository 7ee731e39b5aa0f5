"""One answer's tokens between the engine's process and their reader."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modelmill_service_kit.errors import DomainError


@dataclass(slots=True)
class News:
    """What the child said about one request."""

    tokens: list[int] = field(default_factory=list)
    end: str | None = None
    chosen: list[Any] = field(default_factory=list)
    """As in `children.runner`, one for each token; empty when not asked for."""


class GatheredAnswer:
    """What the child said about one request and its reader has not taken."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[News | DomainError] = asyncio.Queue()

    def add(self, tokens: Sequence[int], end: str | None, chosen: Sequence[Any] | None) -> None:
        """Take news of the child."""
        self._told.put_nowait(News(list(tokens), end, list(chosen or ())))

    def fail(self, error: DomainError) -> None:
        """Tell the reader that nothing more comes."""
        self._told.put_nowait(error)

    async def next_news(self) -> News:
        """All that came since the last look, as one: a slow reader gets fewer, longer pieces."""
        heard = await self._told.get()
        if isinstance(heard, DomainError):
            raise heard
        while heard.end is None and not self._told.empty():
            more = self._told.get_nowait()
            if isinstance(more, DomainError):
                raise more
            heard = News(heard.tokens + more.tokens, more.end, heard.chosen + more.chosen)
        return heard
