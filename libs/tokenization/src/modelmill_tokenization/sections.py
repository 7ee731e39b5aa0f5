"""Sectioned encoding: texts are cut at special tokens, and equal sections are encoded once.

A tokenizer first cuts a text at its added tokens and then looks at each section by itself. So the
ids of a text are those of its sections, joined: the system turn, the heads and often the answers of
a data set are encoded once, and a conversation costs what is new in it.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from tokenizers import Tokenizer

MAX_KEPT = 4096
"""Sections that are remembered from batch to batch."""
MAX_KEPT_CHARACTERS = 10_000
"""A longer section is not."""
_BY_SECTION = {"Digits", "Split", "Punctuation", "Whitespace", "WhitespaceSplit", "ByteLevel"}
"""Pre-tokenizers that do not ask where in the text a section lies."""
_UNICODE = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Replace"}
"""Normalizers that do not either."""
_CHANGING = ("lstrip", "rstrip", "single_word", "normalized")


class BatchEncoder(Protocol):
    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text."""


def find_cuts(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """What texts may be cut at; None when the ids of a section may depend on what is around it."""
    described = json.loads(tokenizer.to_str())
    tokens = described["added_tokens"]
    if not tokens or any(token[how] for token in tokens for how in _CHANGING):
        return None
    steps = described["pre_tokenizer"]
    if steps is None or not _all_of(steps, "pretokenizers", _BY_SECTION):
        return None
    normalizer = described["normalizer"]
    if normalizer is not None and not _all_of(normalizer, "normalizers", _UNICODE):
        return None
    # The longest of those that begin at one place, as the tokenizer finds them.
    names = sorted((token["content"] for token in tokens), key=lambda name: (-len(name), name))
    return re.compile(f"({'|'.join(map(re.escape, names))})")


def _all_of(step: Mapping[str, Any], parts: str, known: Collection[str]) -> bool:
    """Whether a step, or each of those that it is made of, is a known one."""
    if step["type"] == "Sequence":
        return all(_all_of(part, parts, known) for part in step[parts])
    return step["type"] in known and not step.get("add_prefix_space")


class SectionEncoder:
    """Encodes texts by their sections; not for several threads at once.

    Args:
        encode: Ids of whole texts.
        cuts: As of `find_cuts`; None encodes every text whole.
    """

    def __init__(self, encode: BatchEncoder, cuts: re.Pattern[str] | None) -> None:
        self._encode = encode
        self._cuts = cuts
        self._kept: dict[str, list[int]] = {}

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, the same as of the whole text."""
        if self._cuts is None:
            return self._encode(texts)
        cut = [self._cuts.split(text) for text in texts]
        seen = Counter(chain.from_iterable(cut))
        new = [section for section in seen if section not in self._kept]
        found = self._kept | dict(zip(new, self._encode(new), strict=True))
        for section in new:
            if len(self._kept) == MAX_KEPT:
                break
            if seen[section] > 1 and len(section) <= MAX_KEPT_CHARACTERS:
                self._kept[section] = found[section]
        return [list(chain.from_iterable(map(found.__getitem__, sections))) for sections in cut]
