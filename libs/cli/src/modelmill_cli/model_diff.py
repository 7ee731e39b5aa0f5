"""Differences between two model versions: records, orders of their jobs, and what was measured."""

from collections.abc import Iterator, Mapping
from typing import Any

from modelmill_client import ApiStatusError, Modelmill

Record = Mapping[str, Any]
OWN = frozenset({"id", "object", "created", "metrics", "loading", "capabilities", "digest"})
"""Fields in which any two versions differ, or that are compared apart."""


def difference(client: Modelmill, first: Record, second: Record) -> dict[str, Any]:
    """What differs: `fields`, `spec` of the jobs that made them, and `metrics`, each by its name.

    Values are a pair; that of a metric both versions have is followed by the difference.
    """
    before, after = (_spec_of(client, each) for each in (first, second))
    metrics = {
        name: pair if None in pair else [*pair, pair[1] - pair[0]]
        for name, pair in _pairs(first["metrics"] or {}, second["metrics"] or {}, also_equal=True)
    }
    return {
        "first": first["id"],
        "second": second["id"],
        "fields": dict(_pairs(_without_own(first), _without_own(second))),
        "spec": dict(_pairs(dict(_flat(before)), dict(_flat(after)))),
        "metrics": metrics,
    }


def _spec_of(client: Modelmill, model: Record) -> Record:
    """What its job was asked for; empty where nobody asked, or its record is not kept."""
    if not model["job_id"]:
        return {}
    try:
        return client.jobs.retrieve(model["job_id"])["spec"]
    except ApiStatusError:
        return {}


def _without_own(model: Record) -> dict[str, Any]:
    return {name: value for name, value in model.items() if name not in OWN}


def _pairs(
    first: Record, second: Record, *, also_equal: bool = False
) -> Iterator[tuple[str, list[Any]]]:
    for name in sorted({*first, *second}):
        pair = [first.get(name), second.get(name)]
        if also_equal or pair[0] != pair[1]:
            yield name, pair


def _flat(fields: Record, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Fields at any depth, by their paths."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
