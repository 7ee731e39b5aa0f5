"""The quality filter as a row rule."""

from collections.abc import Sequence

import numpy as np

from modelmill_data_prep.domain.code_points import CodePoints
from modelmill_data_prep.domain.filtering.filter_plan import FilterPlan
from modelmill_data_prep.domain.filtering.thresholds import BY_NAME
from modelmill_data_prep.domain.filtering.values import VALUES, FilterBatch, Values
from modelmill_data_prep.domain.language_names import VARIANTS
from modelmill_data_prep.domain.languages import is_variant, languages_of


class FilterRule:
    """Finds rows that violate a threshold or are in another language."""

    name = "filter"

    def __init__(self, plan: FilterPlan) -> None:
        self._plan = plan

    def __call__(self, texts: Sequence[str]) -> list[str | None]:
        """First violated threshold of each row, "languages", or None."""
        if self._plan.is_off:
            return [None] * len(texts)
        broken: list[str | None] = [None] * len(texts)
        batch = FilterBatch(texts, CodePoints(texts), self._plan.limits)
        values: dict[str, Values] = {}
        for name, limit in self._plan.limits.items():
            threshold = BY_NAME[name]
            if threshold.value not in values:
                values[threshold.value] = VALUES[threshold.value](batch)
            found = values[threshold.value]
            outside = found < limit if threshold.is_minimum else found > limit
            for place in np.flatnonzero(outside).tolist():
                broken[place] = broken[place] or name
        if self._plan.languages:
            for place in self._in_other_languages(batch):
                broken[place] = broken[place] or "languages"
        return broken

    def _in_other_languages(self, batch: FilterBatch) -> list[int]:
        wanted = self._plan.languages
        variants = {name: is_variant(batch.points, name) for name in VARIANTS if name in wanted}
        return [
            place
            for place, language in enumerate(languages_of(batch.texts, batch.points))
            if language not in wanted
            and not (language == "zh" and any(marks[place] for marks in variants.values()))
        ]
