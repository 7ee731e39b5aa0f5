"""Decoding of token ids, without running code of the model.

Encoding runs expressions that came with the model, and rendering runs its template. Decoding looks
tokens up and joins them by steps whose cost is known, so it may run beside other work, once
`decoding_document` has seen that the decoder has no other steps.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelmill_service_kit.errors import InvalidInputError
from tokenizers import Tokenizer

from modelmill_tokenization.tool_format import ToolFormat
from modelmill_tokenization.tool_turns import TurnShape

FIRST_MARK = 0xDC00
"""Half a surrogate pair: no text of a tokenizer has one, so a mark is never mistaken for text."""
MAX_MARKS = 0x400


class ToolMarks:
    """A character for each special token that a call is written with.

    Args:
        special: names of special tokens by id.
        texts: what calls are written with.
    """

    def __init__(self, special: Mapping[int, str], texts: Iterable[str]) -> None:
        written = "\n".join(texts)
        found = [(token, name) for token, name in special.items() if name and name in written]
        # A name may be part of another; the longer one is the token.
        found.sort(key=lambda entry: (-len(entry[1]), entry[0]))
        marks = {name: chr(FIRST_MARK + place) for place, (_, name) in enumerate(found[:MAX_MARKS])}
        self.by_id: dict[int, str] = {token: marks[name] for token, name in found[:MAX_MARKS]}
        self._by_name = marks
        self._names = {ord(mark): name for name, mark in marks.items()}

    def mark(self, text: str) -> str:
        """The text with a mark for each name of such a token."""
        for name, mark in self._by_name.items():
            text = text.replace(name, mark)
        return text

    def unmark(self, text: str) -> str:
        """The text with the name of each marked token."""
        return text.translate(self._names) if self._names else text


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


MAX_GROWTH = 16
"""How many times longer the replacements of a decoder may make a text, all of them together."""
_KNOWN_STEPS = frozenset(
    {"BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Strip", "WordPiece"}
)
"""Steps of decoders whose cost grows with the text and with nothing else."""


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """What is known of a tokenizer and its chat template once they have been tried out."""

    vocab_size: int
    """One more than the highest token id, added tokens included."""
    longest_token: int
    """Characters of the longest token: n characters are at least n / longest_token tokens."""
    eos_ids: frozenset[int]
    """Ids that end a generation."""
    special_ids: frozenset[int]
    """Ids that `decode` leaves out."""
    end_of_turn: str
    """What closes an assistant's turn, for example `<|im_end|>`; empty when nothing does."""
    knows_tools: bool
    """Whether the chat template tells the model of tools."""
    tool_format: ToolFormat | None
    """How the chat template writes calls of functions; None when it writes none we can read."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, as `from_json` reads it."""
        plain = asdict(self)
        return plain | {"eos_ids": [*self.eos_ids], "special_ids": [*self.special_ids]}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "TokenizerFacts":
        found = plain["tool_format"]
        sets = {name: frozenset(plain[name]) for name in ("eos_ids", "special_ids")}
        return cls(**{**plain, **sets, "tool_format": None if found is None else _format_of(found)})


def _format_of(plain: Mapping[str, Any]) -> ToolFormat:
    first, second, third = plain["frame"]
    own = {
        "also_opens": tuple(plain["also_opens"]),
        "frame": (first, second, third),
        "shape": TurnShape(**plain["shape"]),
    }
    return ToolFormat(**{**plain, **own})


class TokenDecoder:
    """Ids to text, and what is known of the tokenizer; immutable, so threads may share it."""

    vocab_size: int
    longest_token: int
    eos_ids: frozenset[int]
    special_ids: frozenset[int]
    end_of_turn: str
    knows_tools: bool
    tool_format: ToolFormat | None
    tool_marks: ToolMarks
    """The special tokens among what calls are written with."""

    def __init__(self, tokenizer: Tokenizer, facts: TokenizerFacts) -> None:
        self.facts = facts
        self.vocab_size = facts.vocab_size
        self.longest_token = facts.longest_token
        self.eos_ids = facts.eos_ids
        self.special_ids = facts.special_ids
        self.end_of_turn = facts.end_of_turn
        self.knows_tools = facts.knows_tools
        self.tool_format = facts.tool_format
        added = tokenizer.get_added_tokens_decoder()
        special = {token: added[token].content for token in facts.special_ids}
        written = facts.tool_format.texts if facts.tool_format else ()
        self.tool_marks = ToolMarks(special, written)
        self._tokenizer = tokenizer
        self._token_bytes = TokenBytes(tokenizer)

    @classmethod
    def from_document(cls, document: str, facts: TokenizerFacts) -> "TokenDecoder":
        """One that only decodes, by what `decoding_document` gave."""
        return cls(Tokenizer.from_str(document), facts)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without special tokens; bytes that are no character become U+FFFD."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def token_bytes(self, token: int) -> bytes:
        """What one token stands for; characters may be spread over several tokens.

        Empty for an id that is none, a special token's is its name.
        """
        return self._token_bytes(token)


def decoding_document(tokenizer: Tokenizer) -> str:
    """A tokenizer.json that decodes as `tokenizer` does, and has nothing that encodes.

    Raises:
        InvalidInputError: its decoder has a step whose cost is not bounded by the text.
    """
    decoder = json.loads(tokenizer.decoder.__getstate__()) if tokenizer.decoder else None
    growth = 1.0 if decoder is None else _growth(decoder)
    if growth > MAX_GROWTH:
        raise InvalidInputError(
            f"the decoder in tokenizer.json may make a text {growth:.0f} times longer, at most "
            f"{MAX_GROWTH} times is allowed. Shorten its replacements"
        )
    added = sorted(tokenizer.get_added_tokens_decoder().items())
    plain = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    document = {
        "version": "1.0",
        "added_tokens": [
            {"id": token} | {name: getattr(it, name) for name in plain} for token, it in added
        ],
        "decoder": decoder,
        "model": _vocabulary_of(tokenizer),
    }
    empty = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer"))
    return json.dumps({**document, **empty, "post_processor": None}, ensure_ascii=False)


def _vocabulary_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """A model with the same tokens under the same ids, which splits nothing."""
    if type(tokenizer.model).__name__ == "Unigram":
        # A list, in which one text may stand under two ids.
        size = tokenizer.get_vocab_size(with_added_tokens=False)
        texts = (tokenizer.model.id_to_token(token) for token in range(size))
        return {"type": "Unigram", "unk_id": None, "vocab": [[text, 0.0] for text in texts]}
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    return {"type": "WordLevel", "vocab": vocabulary, "unk_token": ""}


def _growth(step: Mapping[str, Any]) -> float:
    """How many times longer a step of a decoder may make a text."""
    kind = step.get("type")
    if kind == "Sequence":
        growth = 1.0
        for part in step["decoders"]:
            growth *= _growth(part)
        return growth
    if kind == "Replace":
        pattern = step["pattern"].get("String")
        if not pattern:
            raise InvalidInputError(
                "the decoder in tokenizer.json replaces by a regular expression, whose running "
                "time has no bound. Replace a plain text instead"
            )
        return max(1.0, len(step["content"].encode()) / len(pattern.encode()))
    if kind not in _KNOWN_STEPS:
        raise InvalidInputError(f"the decoder in tokenizer.json has an unknown step: {kind}")
    return 2.0 if kind in ("BPEDecoder", "CTC") else 1.0
