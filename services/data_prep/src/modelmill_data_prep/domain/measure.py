"""How long a conversation is."""

from dataclasses import dataclass

from modelmill_data_prep.domain.language_names import Language


@dataclass(frozen=True, slots=True)
class Measure:
    """Of one row, its system turn left out."""

    language: Language
    tokens: int
    """Words and punctuation marks; one Han character is one token."""

    sentences: int
