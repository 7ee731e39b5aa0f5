"""From the ids of one answer to its text: whole characters, cut at the first stop text."""

from collections.abc import Mapping, Sequence

from modelmill_tokenization.text_stream import TextStream
from modelmill_tokenization.token_decoder import TokenDecoder


class StopScanner:
    """Lets text through up to the first stop text, which it swallows.

    What it lets out does not depend on how the text is cut: the stop text that is complete first
    wins, and of those complete at one place the longest.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped_by = ""
        """The stop text that was found; nothing comes out any more."""

    def push(self, text: str) -> str:
        """The part of the text so far that no stop text can claim any more."""
        if self.stopped_by:
            return ""
        text = self._held + text
        found = [(text.find(stop), stop) for stop in self._stops]
        ends = [(start + len(stop), start, stop) for start, stop in found if start >= 0]
        if ends:
            _, start, self.stopped_by = min(ends)
            self._held = ""
            return text[:start]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        out, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return out

    def flush(self) -> str:
        """What was held back for a stop text that did not come."""
        out, self._held = self._held, ""
        return out


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop`, still incomplete, begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


class AnswerText:
    """The text of one generation, while its ids come in.

    Args:
        shown: special tokens that are not left out, and what stands for them.
    """

    def __init__(
        self,
        tokenizer: TokenDecoder,
        stops: Sequence[str],
        shown: Mapping[int, str] | None = None,
    ) -> None:
        self._stream = TextStream(tokenizer, shown)
        self._scanner = StopScanner(stops)

    @property
    def stopped(self) -> bool:
        """A stop text was found: the generation is over, whatever the engine still has."""
        return bool(self._scanner.stopped_by)

    @property
    def stopped_by(self) -> str:
        """That stop text; empty as long as none was found."""
        return self._scanner.stopped_by

    def push(self, ids: Sequence[int]) -> str:
        """The text that became certain with `ids`."""
        return self._scanner.push(self._stream.push(ids))

    def finish(self) -> str:
        """What was kept back, once no more ids come."""
        return self._scanner.push(self._stream.finish()) + self._scanner.flush()
