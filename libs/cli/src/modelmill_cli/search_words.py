"""What a search for an objective found, in words for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

SOURCE = "source"
"""Name of the candidate that is not built."""


def search_facts(summary: Mapping[str, Any], version_id: str) -> Iterator[tuple[str, str]]:
    """Verdict, chosen version, each candidate, and last what to do with the chosen one."""
    [(name, value)] = summary["objective"].items()
    yield "objective", f"{name} {value:g}"
    yield "verdict", f"{summary['verdict'].replace('_', ' ')}: {summary['reason']}"
    chosen = summary["chosen"]
    is_built = chosen != SOURCE
    yield "chosen", f"{version_id} ({chosen})" if is_built else f"{version_id}, the source itself"
    for point in summary["points"]:
        yield point["form"], _point_words(point, name)
    for form, why in summary["untried"].items():
        yield form, f"not measured: {why}"
    if cost := summary.get("cost"):
        change = f"{cost['change']:+.0%}"
        yield "1,000 requests", f"{cost['before']:.4g} before, {cost['after']:.4g} after, {change}"
    yield "next", f"mill models show {version_id}; mill chat --model {version_id}"


def _point_words(point: Mapping[str, Any], name: str) -> str:
    words = [f"{name} {_interval(point['figures'][name])}"]
    if point["form"] != SOURCE:
        loss = point["loss"]
        words.append("not scored" if loss is None else f"lost {_interval(loss, 100)} points")
    if point["contradictory"]:
        words.append("its measurements contradict each other")
    if point.get("version_id"):
        words.append(point["version_id"])
    return ", ".join(words)


def _interval(figure: Mapping[str, float], times: float = 1.0) -> str:
    value, low, high = (times * figure[end] for end in ("value", "low", "high"))
    return f"{value:.4g}" if low == high else f"{value:.4g} ({low:.4g} to {high:.4g})"
