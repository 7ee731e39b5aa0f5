"""Text transform from traditional to simplified Chinese, by OpenCC; for the child process only."""

import re
from collections.abc import Sequence
from typing import Any

from modelmill_data_prep.domain.cleaning.stage import SEPARATOR, until_stable

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_HAN_CODES = (*range(0x3400, 0xA000), *range(0xF900, 0xFB00))
_RARE_HAN = "\U00020000-\U000323af"
"""Beyond the BMP; kept as a range, because a class of single characters would be slow."""

_CONFIGURATION = "t2s"
_NOT_TAKEN = re.compile("[\x00\ud800-\udfff]")
"""Characters that OpenCC cannot take: it uses C strings in UTF-8."""


class SimplifiedChinese:
    """Converts to simplified characters; phrases resolve ambiguous ones."""

    name = "simplified"
    version = 1

    def __init__(self) -> None:
        self._converter: Any = None
        self._changing = _HAN
        """Matches characters that would change; exact once the dictionaries are loaded."""

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Convert texts; dictionaries are loaded at the first Han character."""
        joined = SEPARATOR.join(texts)
        if not _HAN.search(joined):
            return list(texts)
        if self._converter is None:
            self._load()
        if not self._changing.search(joined):
            return list(texts)
        return [self._convert(text) if self._changing.search(text) else text for text in texts]

    def _convert(self, text: str) -> str:
        if _NOT_TAKEN.search(text):
            return text
        return until_stable(self._converter.convert, text)

    def _load(self) -> None:
        from opencc import OpenCC

        self._converter = OpenCC(_CONFIGURATION)
        # A phrase that changes contains a character that changes on its own.
        characters = list(map(chr, _HAN_CODES))
        simplified = self._converter.convert("\n".join(characters)).split("\n")
        changing = [old for old, new in zip(characters, simplified, strict=True) if old != new]
        self._changing = re.compile(f"[{''.join(changing)}{_RARE_HAN}]")
