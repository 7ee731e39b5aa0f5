"""Estimates and their intervals as cells of a table."""

from collections.abc import Mapping
from typing import Any


def figure_columns(first: str, *, has_other: bool) -> list[str]:
    """Titles of a table of estimates, of one model or of two."""
    columns = [first, "value", "95 %"]
    return [*columns, "beside", "difference", "95 %", "won / tied / lost"] if has_other else columns


def figure_cells(figures: Mapping[str, Any], wanted: int) -> list[str]:
    """As many cells as there are columns behind the first."""
    cells = [*_estimate(figures.get("model"))]
    comparison = figures.get("comparison")
    if wanted > len(cells):
        cells.append(_estimate(figures.get("compare_to"))[0])
        cells += _estimate(comparison["difference"] if comparison else None)
        shares = [comparison[share] for share in ("won", "tied", "lost")] if comparison else []
        cells.append(" / ".join(f"{share:.0%}" for share in shares))
    return cells


def _estimate(figure: Mapping[str, Any] | None) -> list[str]:
    if figure is None:
        return ["", ""]
    return [f"{figure['value']:.4g}", f"{figure['low']:.4g} to {figure['high']:.4g}"]
