"""Validated dataset options: all parts of a DatasetSpec."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.nearest import did_you_mean

from modelmill_data_prep.domain.augmenting.plan import AugmentPlan, plan_augment
from modelmill_data_prep.domain.cleaning.clean_plan import CleanPlan, plan_clean
from modelmill_data_prep.domain.curriculum.curriculum_plan import CurriculumPlan, plan_curriculum
from modelmill_data_prep.domain.duplicates.plan import DuplicatesPlan, plan_duplicates
from modelmill_data_prep.domain.entities.entity_plan import EntityPlan, plan_entities
from modelmill_data_prep.domain.filtering.filter_plan import FilterPlan, plan_filter
from modelmill_data_prep.domain.mapping.row_mapping import RowMapping, plan_mapping
from modelmill_data_prep.domain.reading.file_form import AS_DETECTED, FileForm, plan_reading
from modelmill_data_prep.domain.tokens.token_plan import TokenizePlan, plan_tokenize

MAX_NAME_CHARACTERS = 100
MAX_COLUMNS_LISTED = 50
_SUM_TOLERANCE = 1e-6

Planned = TypeVar("Planned")


@dataclass(frozen=True)
class SplitShares:
    """Shares of the splits; they add up to 1."""

    train: float = 0.8
    valid: float = 0.1
    test: float = 0.1


@dataclass(frozen=True)
class DatasetPlan:
    """Validated options with defaults."""

    name: str
    mapping: RowMapping
    shares: SplitShares
    seed: int
    max_test_rows: int
    """0 means no limit."""
    clean: CleanPlan
    filter: FilterPlan
    entities: EntityPlan
    duplicates: DuplicatesPlan
    augment: AugmentPlan
    curriculum: CurriculumPlan
    tokenize: TokenizePlan
    reading: FileForm
    """Requested reading options; empty fields are detected from the file."""

    @property
    def asks_models(self) -> bool:
        """Whether a step needs the inference service."""
        return bool(self.augment.by_models or self.curriculum.loss_model)


def plan_dataset(spec: Mapping[str, Any], *, models_unavailable: str = "") -> DatasetPlan:
    """Validate a `modelmill.data_prep.v1.DatasetSpec`, given as a mapping.

    Args:
        models_unavailable: Error message if no inference is configured; else empty.

    Raises:
        InvalidInputError: Lists every error.
    """
    errors: list[str] = []
    name = str(spec.get("name", ""))
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        errors.append(f"name must be at most {MAX_NAME_CHARACTERS} printable characters")

    def part(
        name: str, plan: Callable[[Mapping[str, Any]], Planned], otherwise: Planned
    ) -> Planned:
        return _gather(errors, lambda: plan(spec.get(name, {})), otherwise)

    planned = DatasetPlan(
        name=name,
        mapping=part("mapping", plan_mapping, RowMapping()),
        shares=part("shares", _plan_shares, SplitShares()),
        seed=int(spec.get("seed", 0)),
        max_test_rows=int(spec.get("max_test_rows", 0)),
        clean=part("clean", plan_clean, CleanPlan()),
        filter=part("filter", plan_filter, FilterPlan()),
        entities=part("entities", plan_entities, EntityPlan()),
        duplicates=part("duplicates", plan_duplicates, DuplicatesPlan()),
        augment=part("augment", plan_augment, AugmentPlan()),
        curriculum=part("curriculum", plan_curriculum, CurriculumPlan()),
        tokenize=part("tokenize", plan_tokenize, TokenizePlan()),
        reading=part("reading", plan_reading, AS_DETECTED),
    )
    if models_unavailable:
        errors += [f"{what}: {models_unavailable}" for what in _model_uses(planned)]
    if errors:
        raise InvalidInputError(errors)
    return planned


def _model_uses(plan: DatasetPlan) -> list[str]:
    """Descriptions of the parts that use a model."""
    parts = [f"augment: {step.method} asks {step.model}" for step in plan.augment.by_models]
    if plan.curriculum.loss_model:
        parts.append(f"curriculum: weight loss asks {plan.curriculum.loss_model}")
    return parts


def check_columns(mapping: RowMapping, known: Iterable[str]) -> None:
    """Reject a mapping that reads a missing column.

    Raises:
        InvalidInputError: Names every missing column and lists those of the file.
    """
    columns = list(known)
    unknown = [column for column in mapping.columns if column not in columns]
    if not unknown:
        return
    listed = ", ".join(repr(column[:64]) for column in columns[:MAX_COLUMNS_LISTED])
    more = f" and {len(columns) - MAX_COLUMNS_LISTED} more" if columns[MAX_COLUMNS_LISTED:] else ""
    raise InvalidInputError(
        [
            f"unknown column {column[:64]!r}.{did_you_mean(column, columns)}"
            f" The file has {listed}{more}"
            for column in unknown
        ]
    )


def _plan_shares(spec: Mapping[str, Any]) -> SplitShares:
    values = {split: float(spec.get(split, 0)) for split in ("train", "valid", "test")}
    if not any(values.values()):
        return SplitShares()
    errors = [
        f"shares: {split} must be between 0 and 1, got {value:g}"
        for split, value in values.items()
        if not 0 <= value <= 1
    ]
    if values["train"] == 0:
        errors.append("shares: train must be above 0")
    total = math.fsum(values.values())
    if not errors and abs(total - 1) > _SUM_TOLERANCE:
        errors.append(f"shares must add up to 1, got {total:g}")
    if errors:
        raise InvalidInputError(errors)
    return SplitShares(**values)


def _gather(errors: list[str], plan: Callable[[], Planned], otherwise: Planned) -> Planned:
    """The validated part, or `otherwise` with its errors appended."""
    try:
        return plan()
    except InvalidInputError as error:
        errors += error.errors
        return otherwise
