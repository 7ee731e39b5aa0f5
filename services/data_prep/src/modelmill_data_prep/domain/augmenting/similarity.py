"""How similar two texts are, and how similar a new one may be to the one it was made from."""

from dataclasses import dataclass

from modelmill_data_prep.domain.text_form import comparison_key

_GRAM = 2


@dataclass(frozen=True)
class SimilarityLimits:
    """How similar a new text must be to the one that it was made from, and how much it may be.

    Measured as the Jaccard similarity of the pairs of neighbouring characters.
    """

    least: float = 0.5
    most: float = 0.98

    def allow(self, text: str, new: str) -> bool:
        """Whether the new text lies within."""
        return self.least <= pair_similarity(text, new) <= self.most


def pair_similarity(left: str, right: str) -> float:
    """Jaccard similarity of the character pairs of two texts, as comparison sees them."""
    one, other = _pairs(comparison_key(left)), _pairs(comparison_key(right))
    return len(one & other) / len(one | other) if one or other else 1.0


def _pairs(text: str) -> set[str]:
    return {text[place : place + _GRAM] for place in range(max(len(text) - _GRAM + 1, 1))} - {""}
