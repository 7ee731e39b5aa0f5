"""Pareto frontier: points that no other point beats."""

from collections.abc import Sequence

Coordinates = Sequence[float]


def on_frontier(points: Sequence[Coordinates]) -> list[bool]:
    """Of each point, whether no other one is as good in everything and better in something.

    Args:
        points: Coordinates of which the lower is the better; equal points beat each other not.
    """
    return [not any(_dominates(other, point) for other in points) for point in points]


def _dominates(one: Coordinates, other: Coordinates) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
