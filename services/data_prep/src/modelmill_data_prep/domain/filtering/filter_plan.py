"""Validated filter options, and the table of thresholds with defaults and reasons."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.language_names import LANGUAGES, VARIANTS


@dataclass(frozen=True)
class Threshold:
    """A limit on one text statistic."""

    name: str
    """"<value>.min" or "<value>.max"; the limit itself is kept."""

    unit: str
    standard: float | None
    """Limit in preset "standard"; None for no limit."""

    why: str

    @property
    def value(self) -> str:
        """Name of the limited statistic."""
        return self.name.rpartition(".")[0]

    @property
    def is_minimum(self) -> bool:
        return self.name.endswith(".min")


_OF_CHARACTERS = "share of the characters that are no blanks"
_WORDS = "words; a Han or kana character is one"
_OF_LINES = "share of the lines, of a text of 4 lines or more"

THRESHOLDS = (
    Threshold("characters.min", "characters", 5, "an empty question and its label"),
    Threshold("characters.max", "characters", 200_000, "a book or a dump, no row"),
    Threshold("words.min", _WORDS, None, "too short to learn from"),
    Threshold("words.max", _WORDS, None, "too long to learn from"),
    Threshold("letters_share.min", _OF_CHARACTERS, 0.3, "tables of numbers, rows of dashes"),
    Threshold("digit_share.max", _OF_CHARACTERS, 0.5, "numbers, logs, phone lists"),
    Threshold("symbol_share.max", _OF_CHARACTERS, 0.3, "emoji and drawings"),
    Threshold("punctuation_share.max", _OF_CHARACTERS, 0.5, "shouting and separators"),
    Threshold("lost_character_share.max", _OF_CHARACTERS, 0.01, "U+FFFD: a broken encoding"),
    Threshold("url_share.max", "share of the characters", 0.5, "lists of links"),
    Threshold("repeated_line_share.max", _OF_LINES, 0.3, "the same line again (Gopher: 0.3)"),
    Threshold("ellipsis_line_share.max", _OF_LINES, 0.3, "beginnings of articles (Gopher: 0.3)"),
    Threshold("bullet_line_share.max", _OF_LINES, 0.9, "nothing but a list (Gopher: 0.9)"),
    Threshold(
        "repeated_ngram_share.max",
        "share of the runs of 10 characters that were there before, of a text of 60 or more",
        0.5,
        "the same phrase again and again",
    ),
    Threshold(
        "repeated_word_ngram_share.max",
        "share of the runs of 5 words that were there before, of a text of 50 spaced words or more",
        0.15,
        "the same in words (Gopher: 0.15 of the characters)",
    ),
    Threshold(
        "uppercase_share.max",
        "share of the letters that have case, of a text of 40 such letters or more",
        0.7,
        "SHOUTING, and lists of codes",
    ),
    Threshold(
        "mean_word_length.min",
        "letters and digits a word, of a text of 20 words with blanks between or more",
        2,
        "l e t t e r s apart",
    ),
    Threshold(
        "mean_word_length.max",
        "letters and digits a word, of a text of 20 words with blanks between or more",
        15,
        "base64, identifiers, glued words",
    ),
    Threshold(
        "stop_word_share.min",
        "share of function words, of a text with 50 Han characters or more, or of 30 words or more "
        "in Latin letters",
        0.02,
        "keywords and catalogues: a sentence needs them",
    ),
)
BY_NAME = {threshold.name: threshold for threshold in THRESHOLDS}


PRESETS = ("off", "standard")


@dataclass(frozen=True)
class FilterPlan:
    """Thresholds and languages; without any all rows are kept."""

    limits: Mapping[str, float] = field(default_factory=dict)
    """Limit by threshold name, in the order of `THRESHOLDS`."""

    languages: tuple[str, ...] = ()
    """Languages to keep; empty for all."""

    @property
    def is_off(self) -> bool:
        return not self.limits and not self.languages


def plan_filter(spec: Mapping[str, Any]) -> FilterPlan:
    """Validate a `FilterSpec`, given as a mapping.

    Raises:
        InvalidInputError: Lists every error.
    """
    errors: list[str] = []
    preset = str(spec.get("preset", "")) or "off"
    if preset not in PRESETS:
        errors.append(f"filter: unknown preset {preset[:64]!r}. Use {', '.join(PRESETS)}")
    named = {str(name): float(value) for name, value in spec.get("thresholds", {}).items()}
    errors += _errors_of(named)
    languages = tuple(dict.fromkeys(str(name) for name in spec.get("languages", ())))
    known = (*LANGUAGES, *VARIANTS)
    errors += [
        f"filter: unknown language {name[:64]!r}. Use {', '.join(known)}"
        for name in languages
        if name not in known
    ]
    if errors:
        raise InvalidInputError(errors)
    limits = {one.name: one.standard for one in THRESHOLDS if preset == "standard"} | named
    chosen = {one.name: limits.get(one.name) for one in THRESHOLDS}
    plan = {name: limit for name, limit in chosen.items() if limit is not None}
    _check_order(plan)
    return FilterPlan(plan, languages)


def _errors_of(named: Mapping[str, float]) -> list[str]:
    errors: list[str] = []
    for name, value in named.items():
        if name not in BY_NAME:
            listed = ", ".join(BY_NAME)
            errors.append(f"filter: unknown threshold {name[:64]!r}. Use {listed}")
        elif not math.isfinite(value) or value < 0:
            errors.append(f"filter: {name} must be 0 or more, got {value:g}")
        elif "_share." in name and value > 1:
            errors.append(f"filter: {name} is a share and must be at most 1, got {value:g}")
    return errors


def _check_order(limits: Mapping[str, float]) -> None:
    """Reject a minimum above its maximum."""
    errors: list[str] = []
    for name, low in limits.items():
        high = limits.get(f"{BY_NAME[name].value}.max", math.inf)
        if BY_NAME[name].is_minimum and low > high:
            errors.append(f"filter: {name} is {low:g}, above its maximum {high:g}: no row stays")
    if errors:
        raise InvalidInputError(errors)
