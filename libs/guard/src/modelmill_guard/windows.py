"""A growing text in windows at fixed places."""

from collections.abc import Iterator

from modelmill_guard.judge import Window

CONTEXT_CHARACTERS = 100
"""What a judge reads before a window, so that no phrase escapes by lying across two."""


class Windows:
    """Cuts a text, given in pieces cut anywhere, into windows of one size."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._start = 0
        self._context = ""
        self._text = ""

    def push(self, text: str) -> Iterator[Window]:
        """The windows that are complete with this piece."""
        self._text += text
        while len(self._text) >= self.size:
            yield self._next(self.size)

    def finish(self) -> Iterator[Window]:
        """The last window, if there is text left."""
        if self._text:
            yield self._next(len(self._text))

    def _next(self, length: int) -> Window:
        window = Window(self._start, self._context, self._text[:length])
        self._start += length
        self._context = (self._context + window.text)[-CONTEXT_CHARACTERS:]
        self._text = self._text[length:]
        return window
