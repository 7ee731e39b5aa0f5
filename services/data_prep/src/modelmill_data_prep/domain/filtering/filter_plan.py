"""Validated filter options."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.filtering.thresholds import BY_NAME, THRESHOLDS
from modelmill_data_prep.domain.language_names import LANGUAGES, VARIANTS

PRESETS = ("off", "standard")


@dataclass(frozen=True)
class FilterPlan:
    """Thresholds and languages; without any all rows are kept."""

    limits: Mapping[str, float] = field(default_factory=dict)
    """Limit by threshold name, in the order of `THRESHOLDS`."""

    languages: tuple[str, ...] = ()
    """Languages to keep; empty for all."""

    @property
    def is_off(self) -> bool:
        return not self.limits and not self.languages


def plan_filter(spec: Mapping[str, Any]) -> FilterPlan:
    """Validate a `FilterSpec`, given as a mapping.

    Raises:
        InvalidInputError: Lists every error.
    """
    errors: list[str] = []
    preset = str(spec.get("preset", "")) or "off"
    if preset not in PRESETS:
        errors.append(f"filter: unknown preset {preset[:64]!r}. Use {', '.join(PRESETS)}")
    named = {str(name): float(value) for name, value in spec.get("thresholds", {}).items()}
    errors += _errors_of(named)
    languages = tuple(dict.fromkeys(str(name) for name in spec.get("languages", ())))
    known = (*LANGUAGES, *VARIANTS)
    errors += [
        f"filter: unknown language {name[:64]!r}. Use {', '.join(known)}"
        for name in languages
        if name not in known
    ]
    if errors:
        raise InvalidInputError(errors)
    limits = {one.name: one.standard for one in THRESHOLDS if preset == "standard"} | named
    chosen = {one.name: limits.get(one.name) for one in THRESHOLDS}
    plan = {name: limit for name, limit in chosen.items() if limit is not None}
    _check_order(plan)
    return FilterPlan(plan, languages)


def _errors_of(named: Mapping[str, float]) -> list[str]:
    errors: list[str] = []
    for name, value in named.items():
        if name not in BY_NAME:
            listed = ", ".join(BY_NAME)
            errors.append(f"filter: unknown threshold {name[:64]!r}. Use {listed}")
        elif not math.isfinite(value) or value < 0:
            errors.append(f"filter: {name} must be 0 or more, got {value:g}")
        elif "_share." in name and value > 1:
            errors.append(f"filter: {name} is a share and must be at most 1, got {value:g}")
    return errors


def _check_order(limits: Mapping[str, float]) -> None:
    """Reject a minimum above its maximum."""
    errors: list[str] = []
    for name, low in limits.items():
        high = limits.get(f"{BY_NAME[name].value}.max", math.inf)
        if BY_NAME[name].is_minimum and low > high:
            errors.append(f"filter: {name} is {low:g}, above its maximum {high:g}: no row stays")
    if errors:
        raise InvalidInputError(errors)
