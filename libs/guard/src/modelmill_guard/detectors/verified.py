"""What the detectors share: a pattern with its proof, and the digits of a match."""

from collections.abc import Callable
from dataclasses import replace

from modelmill_guard.pattern import BoundedPattern, parse_pattern


def detector(pattern: str, proof: Callable[[str], bool] | None = None) -> BoundedPattern:
    """A pattern whose matches count only where `proof` holds of the matched shadow text."""
    return detector_of_part(
        pattern, None if proof is None else lambda text: _all_or_none(text, proof)
    )


def detector_of_part(pattern: str, verify: Callable[[str], int | None] | None) -> BoundedPattern:
    """A pattern of which only the part from `verify`'s answer on is found; None is no match."""
    return replace(parse_pattern(pattern), verify=verify, shortens=pattern.endswith(r"\b"))


def _all_or_none(text: str, proof: Callable[[str], bool]) -> int | None:
    return 0 if proof(text) else None


def without_separators(text: str) -> str:
    """The match without the spaces and hyphens that people group it with."""
    return text.replace(" ", "").replace("-", "")
