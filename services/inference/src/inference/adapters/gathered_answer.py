"""One answer's tokens between the engine's process and their reader."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from service_kit.errors import DomainError


@dataclass(slots=True)
class News:
    """What the child said about one request."""

    tokens: list[int] = field(default_factory=list)
    end: str | None = None
    chosen: list[Any] = field(default_factory=list)
    """As in `children.runner`, one for each token; empty when not asked for."""


class GatheredAnswer:
    """What the child said about one request and its reader has not taken.

    A message costs the services behind it more than a token does, so tokens may be gathered before
    they are handed on. Never gathered are the first ones, the last ones, and those of a request
    with stop texts: the engine does not know these, and would go on past one meanwhile.
    """

    def __init__(self, *, may_gather: bool) -> None:
        self._may_gather = may_gather
        self._begun = False
        self._gathered = News()
        self._handed_on: asyncio.Queue[News | DomainError] = asyncio.Queue()

    def add(
        self, tokens: Sequence[int], end: str | None, chosen: Sequence[Any] | None, *, gather: bool
    ) -> bool:
        """Take news of the child; true when there are tokens that wait for `hand_on`."""
        self._gathered.tokens += tokens
        self._gathered.chosen += chosen or ()
        if gather and self._may_gather and self._begun and end is None:
            return True
        self.hand_on(end)
        return False

    def hand_on(self, end: str | None = None) -> None:
        """Let the reader have what was gathered."""
        gathered = self._gathered
        if gathered.tokens or end is not None:
            self._begun = True
            gathered.end = end
            self._handed_on.put_nowait(gathered)
            self._gathered = News()

    def fail(self, error: DomainError) -> None:
        """Tell the reader that nothing more comes."""
        self._handed_on.put_nowait(error)

    async def next_news(self) -> News:
        """All that came since the last look, as one: a slow reader gets fewer, longer pieces."""
        heard = await self._handed_on.get()
        if isinstance(heard, DomainError):
            raise heard
        while heard.end is None and not self._handed_on.empty():
            more = self._handed_on.get_nowait()
            if isinstance(more, DomainError):
                raise more
            heard = News(heard.tokens + more.tokens, more.end, heard.chosen + more.chosen)
        return heard
