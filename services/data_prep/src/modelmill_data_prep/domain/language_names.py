"""Languages that the detector distinguishes."""

from typing import Literal, get_args

Language = Literal["zh", "en", "ja", "ko", "ru", "ar", "de", "fr", "es", "it", "pt", "nl", "other"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
VARIANTS = ("zh-hans", "zh-hant")
"""Simplified or traditional Chinese; a text without distinguishing characters counts as both."""
