"""Reads general text that no calibration has: what a build is judged by and measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from modelmill_tokenization.chat_tokenizer import ChatTokenizer

GENERAL_TEXT_HELD_OUT = "general_text_held_out.txt"
MAX_TEXT_TOKENS = 256
"""Of a longer text only the beginning is read."""
Texts = Sequence[Sequence[int]]


@dataclass(frozen=True)
class GeneralText:
    """Short texts of many sorts, as token ids; each is read on its own."""

    judging: Texts
    """Those by which a method is chosen."""
    measured: Texts
    """The others, of which a version's figures are."""


def read_general_text(tokenizer: ChatTokenizer) -> GeneralText:
    """The texts that come with the service, in turn to either part.

    Raises:
        LimitError: The tokenizer exceeded a time or memory limit.
    """
    text = files(__package__).joinpath(GENERAL_TEXT_HELD_OUT).read_text(encoding="utf-8")
    encoded = tokenizer.encode_batch(text.strip().split("\n\n"))
    texts = [ids[:MAX_TEXT_TOKENS] for ids in encoded if len(ids) > 1]
    return GeneralText(texts[::2], texts[1::2])
