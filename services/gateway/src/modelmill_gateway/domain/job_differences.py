"""Differences between jobs: settings and scores side by side, each by its path."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

Fields = Mapping[str, Any]
CENTRES = ("value", "mean")
"""What an estimate is called beside its interval."""


@dataclass(frozen=True)
class SettingRow:
    """One setting of several jobs, in their order."""

    path: str
    values: tuple[Any, ...]
    """None where a job does not have it."""

    @property
    def differs(self) -> bool:
        """Whether two of the jobs have it otherwise, or one does not have it."""
        return any(value != self.values[0] for value in self.values[1:])


@dataclass(frozen=True)
class ScoreFigure:
    """A figure, with its 95 % interval where it is an estimate."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ScoreRow:
    """One score of several jobs, in their order."""

    name: str
    values: tuple[ScoreFigure | None, ...]
    """None where a job does not have it."""


def setting_rows(specs: Sequence[Fields]) -> list[SettingRow]:
    """All settings of the specs: those that differ first, each part in the order of paths."""
    flat = [dict(_flat(spec)) for spec in specs]
    paths = sorted({path for each in flat for path in each})
    rows = [SettingRow(path, tuple(each.get(path) for each in flat)) for path in paths]
    return sorted(rows, key=lambda row: not row.differs)


def score_rows(summaries: Sequence[Fields]) -> list[ScoreRow]:
    """All figures of the summaries: those with intervals first, each part by name."""
    found = [dict(_scores(summary)) for summary in summaries]
    names = sorted({name for each in found for name in each})
    rows = [ScoreRow(name, tuple(each.get(name) for each in found)) for name in names]
    return sorted(rows, key=lambda row: not any(it and it.low is not None for it in row.values))


def _flat(fields: Fields, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _scores(summary: Fields, prefix: str = "") -> Iterator[tuple[str, ScoreFigure]]:
    for name, value in summary.items():
        if isinstance(value, Mapping):
            estimate = _estimate(value)
            if estimate is not None:
                yield f"{prefix}{name}", estimate
            else:
                yield from _scores(value, f"{prefix}{name}.")
        elif _is_number(value):
            yield f"{prefix}{name}", ScoreFigure(float(value))


def _estimate(fields: Fields) -> ScoreFigure | None:
    centre = next((fields[name] for name in CENTRES if name in fields), None)
    low, high = fields.get("low"), fields.get("high")
    if not (_is_number(centre) and _is_number(low) and _is_number(high)):
        return None
    return ScoreFigure(float(centre), float(low), float(high))


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
