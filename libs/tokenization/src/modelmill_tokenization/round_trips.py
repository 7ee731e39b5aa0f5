"""Texts that a sound tokenizer gives back as they were.

A tokenizer that was rebuilt from another format may look sound and turn every space or every
Chinese character into one unknown token; these texts show it.
"""

from collections.abc import Callable, Iterator, Sequence
from unicodedata import normalize


def round_trip_texts() -> Iterator[str]:
    """Some hundred texts of many scripts, spacings and digits."""
    words = (
        *("the price", " leading", "trailing ", "double  space", "tab\there", "line\nbreak\n\n"),
        *("x = 12345", "  5", "3.14 %", "1,000,000", "007", "don't", "CamelCase_snake-kebab"),
        *("质量很好，下次还会买。", "性价比不高！", "繁體中文", "中文 mixed 英文", "　全角１２３"),
        *("🤖", "👩‍👩‍👧‍👦 family", "🇨🇳🏳️‍🌈", "naïve café", "e\u0301 decomposed"),
        *("Ελληνικά", "кириллица", "日本語のテキスト", "한국어", "العربية", "हिन्दी"),
        *("ไทย", "∑∫√≠", "\u200bzero width", "a\r\nb"),
    )
    yield from words
    for left in words:
        yield from (left + right for right in words[:: 1 + len(left) % 3])
    for start in range(0x20, 0x3000, 0x40):
        yield "".join(map(chr, range(start, start + 0x40)))
    for start in (0x4E00, 0x6C00, 0x9F00, 0xAC00, 0xFF00, 0x1F300, 0x1F600, 0x20000):
        yield " ".join(map(chr, range(start, start + 0x40)))


def first_difference(
    encode: Callable[[str], Sequence[int]], decode: Callable[[Sequence[int]], str]
) -> tuple[str, str] | None:
    """The first text that comes back otherwise, and what came; None where all come back.

    Composed characters are the same as their parts: some models' own tokenizers compose (NFC).
    """
    for text in round_trip_texts():
        back = decode(encode(text))
        if normalize("NFC", back) != normalize("NFC", text):
            return text, back
    return None
