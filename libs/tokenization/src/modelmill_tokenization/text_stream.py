"""Streaming detokenizer; it never emits a part of a character."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from modelmill_tokenization.token_decoder import TokenDecoder

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_INCOMPLETE = 3
"""Bytes of a UTF-8 character that can be there while the character is not whole."""

HOLD_TOKENS = 16
"""Tokens kept back at most; a run of bytes that long which is no character never becomes one."""


class TextStream:
    """Turns the ids of one generation into text as they come.

    What `push` and `finish` return, joined, is `decode` of all ids, however they were cut: exactly
    so for byte-level tokenizers. Those that fall back to bytes (SentencePiece) decode a run of
    bytes as a whole, so a run longer than `HOLD_TOKENS` that is no text may differ in its U+FFFD.

    Args:
        shown: special tokens that are not left out, and what stands for them in the text.
    """

    def __init__(self, tokenizer: TokenDecoder, shown: Mapping[int, str] | None = None) -> None:
        self._tokenizer = tokenizer
        self._shown = shown or {}
        self._window: list[int] = []
        """Tokens of the last text that went out, as context, then those still kept back.

        The context is needed because decoders treat the first token apart (a leading space goes).
        """
        self._context = 0
        """How many tokens of the window are context."""
        self._out = 0
        """How many characters of the window's text went out."""

    def push(self, ids: Sequence[int]) -> str:
        """The text that became certain with `ids`; may be empty."""
        if not self._shown or self._shown.keys().isdisjoint(ids):
            return self._push(ids)
        text = ""
        for is_shown, group in groupby(ids, self._shown.__contains__):
            if is_shown:
                text += self._interrupted()
                text += "".join(self._shown[token] for token in group)
            else:
                text += self._push(list(group))
        return text

    def _interrupted(self) -> str:
        """All that was kept back: what was no whole character before a token never becomes one."""
        text = self._tokenizer.decode(self._window)
        return self.finish() if text.endswith(REPLACEMENT) else self._release(text)

    def _push(self, ids: Sequence[int]) -> str:
        special = self._tokenizer.special_ids
        fresh = [token for token in ids if token not in special]
        if not fresh:
            return ""
        self._window += fresh
        text = self._tokenizer.decode(self._window)
        if not text.endswith(REPLACEMENT):
            return self._release(text)
        if len(self._window) - self._context < HOLD_TOKENS:
            return ""
        return self._release_most(text)

    def finish(self) -> str:
        """What was kept back, an unfinished character as U+FFFD; the stream is empty after it."""
        text = self._tokenizer.decode(self._window)[self._out :]
        self._window, self._context, self._out = [], 0, 0
        return text

    def _release(self, text: str) -> str:
        """Let all of `text` out; the new tokens become the context."""
        fresh = text[self._out :]
        if fresh:
            self._window = self._window[self._context :]
            self._out = len(self._tokenizer.decode(self._window))
        else:
            # Tokens without text would push out the context that the next one needs.
            self._window = self._window[: self._context]
        self._context = len(self._window)
        return fresh

    def _release_most(self, text: str) -> str:
        """Let out all but the end that may still become a character, and shorten the window.

        The window is cut where both sides decode alone to what they decode to together: there the
        left side's last bytes were already given up, so nothing that follows can change them.
        """
        held = len(text) - len(text.rstrip(REPLACEMENT))
        ready = len(text) - min(held, LONGEST_INCOMPLETE)
        for cut in range(len(self._window) - 1, 0, -1):
            right = self._tokenizer.decode(self._window[cut:])
            left = self._tokenizer.decode(self._window[:cut])
            if len(text) - len(right) <= ready and right and left + right == text:
                fresh = text[self._out : ready]
                self._window, self._context = self._window[cut:], 0
                self._out = ready - len(left)
                return fresh
        return self._release(text)
