"""The bytes of single tokens, for those who look at answers token by token."""

import re

from tokenizers import Tokenizer

_BYTE_NAME = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SPACE_MARK = "\N{LOWER ONE EIGHTH BLOCK}"
"""What SentencePiece writes for a space."""


class TokenBytes:
    """Knows how a tokenizer writes bytes: in letters of its own, or as `<0xE4>` and `▁`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._added = {
            token: added.content for token, added in tokenizer.get_added_tokens_decoder().items()
        }
        # The whole tokenizer as JSON would say it, too, at megabytes for each load.
        decoder = tokenizer.decoder.__getstate__() if tokenizer.decoder else b""
        self._letters = _byte_letters() if b'"ByteLevel"' in decoder else None
        self._has_bytes = b'"ByteFallback"' in decoder

    def __call__(self, token: int) -> bytes:
        """The token's bytes; empty for an id that is none."""
        if token in self._added:
            special: str = self._added[token]
            return special.encode()
        name: str | None = self._tokenizer.id_to_token(token) if token >= 0 else None
        if name is None:
            return b""
        if self._letters is not None:
            return b"".join(self._letters.get(letter, letter.encode()) for letter in name)
        if self._has_bytes and (byte := _BYTE_NAME.fullmatch(name)):
            return bytes.fromhex(byte[1])
        return name.replace(SPACE_MARK, " ").encode()


def _byte_letters() -> dict[str, bytes]:
    """The letter that byte-level BPE writes for each byte, the other way round.

    Printable bytes of Latin-1 stand for themselves, the others are counted up from U+0100.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    letters = {chr(byte): bytes([byte]) for byte in printable}
    return letters | {chr(0x100 + place): bytes([byte]) for place, byte in enumerate(others)}
