"""The languages that texts are told apart by."""

from typing import Literal, get_args

Language = Literal["zh", "en", "ja", "ko", "ru", "ar", "de", "fr", "es", "it", "pt", "nl", "other"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
VARIANTS = ("zh-hans", "zh-hant")
"""Chinese by its characters: simplified or traditional. A text that shows neither is both."""
