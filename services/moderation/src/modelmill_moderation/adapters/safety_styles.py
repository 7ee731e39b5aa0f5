"""The ways in which content-safety services are asked and answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

AZURE_SEVEREST = 7
"""Of its eight levels."""


@dataclass(frozen=True)
class SafetyStyle:
    """One way."""

    question: Callable[[str, str], Mapping[str, str]]
    """The body for a text and a model, which may be empty."""

    credential: Callable[[str], tuple[str, str]]
    """The header that shows a token."""

    scores: Callable[[Any], Any]
    """Of a whole answer a mapping from categories to numbers from 0 to 1.

    What it raises, or gives instead, of an answer in another form is for its caller to handle.
    """


def _openai_scores(answer: Any) -> Any:
    (result,) = answer["results"]
    return result["category_scores"]


def _azure_scores(answer: Any) -> Any:
    found = [(each["category"], each["severity"]) for each in answer["categoriesAnalysis"]]
    if not all(type(severity) is int for _, severity in found):
        raise TypeError("a severity is a whole number")
    return {category: severity / AZURE_SEVEREST for category, severity in found}


STYLES: Mapping[str, SafetyStyle] = {
    "openai": SafetyStyle(
        question=lambda text, model: {"input": text} | ({"model": model} if model else {}),
        credential=lambda token: ("authorization", f"Bearer {token}"),
        scores=_openai_scores,
    ),
    "azure": SafetyStyle(
        question=lambda text, _: {"text": text, "outputType": "EightSeverityLevels"},
        credential=lambda token: ("ocp-apim-subscription-key", token),
        scores=_azure_scores,
    ),
}
"""By their names in settings."""
