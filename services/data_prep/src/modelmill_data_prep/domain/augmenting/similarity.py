"""Text similarity by character bigrams, and its limits for augmented texts."""

from dataclasses import dataclass

from modelmill_data_prep.domain.text_form import comparison_key

_GRAM = 2


@dataclass(frozen=True)
class SimilarityLimits:
    """Minimum and maximum Jaccard similarity of character bigrams, to the original text."""

    least: float = 0.5
    most: float = 0.98

    def allow(self, text: str, new: str) -> bool:
        """Whether the similarity of `new` is within the limits."""
        return self.least <= pair_similarity(text, new) <= self.most


def pair_similarity(left: str, right: str) -> float:
    """Jaccard similarity of the character bigrams of two normalised texts."""
    one, other = _pairs(comparison_key(left)), _pairs(comparison_key(right))
    return len(one & other) / len(one | other) if one or other else 1.0


def _pairs(text: str) -> set[str]:
    return {text[place : place + _GRAM] for place in range(max(len(text) - _GRAM + 1, 1))} - {""}
