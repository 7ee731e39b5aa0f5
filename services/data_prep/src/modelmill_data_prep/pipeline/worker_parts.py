"""Creates row workers from their request."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
from modelmill_tokenization.bounded.here import BoundedConversations, BoundedTokenizer

from modelmill_data_prep.adapters.opencc_simplified import SimplifiedChinese
from modelmill_data_prep.adapters.spacy_pipelines import spacy_stop_words
from modelmill_data_prep.domain.augmenting.row_makers import Synonyms
from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.cleaning.boilerplate import Boilerplate
from modelmill_data_prep.domain.cleaning.clean_plan import CleanPlan
from modelmill_data_prep.domain.cleaning.encoding import (
    EncodingRepair,
    Invisible,
    Spaces,
    UnicodeForm,
)
from modelmill_data_prep.domain.cleaning.markup import Markup
from modelmill_data_prep.domain.cleaning.repeats import Repeats
from modelmill_data_prep.domain.cleaning.stage import CleanStage, IdempotentTransform
from modelmill_data_prep.domain.cleaning.stop_words import StopWords
from modelmill_data_prep.domain.curriculum.curriculum_plan import NONE
from modelmill_data_prep.domain.dataset_plan import DatasetPlan, plan_dataset
from modelmill_data_prep.domain.duplicates.row_keys import row_keys, row_signatures
from modelmill_data_prep.domain.entities.entity_plan import EntityFinder, EntityPlan
from modelmill_data_prep.domain.entities.pseudonyms import Pseudonymiser
from modelmill_data_prep.domain.entities.rule_finder import RuleFinder, mask_entities
from modelmill_data_prep.domain.entities.stage import NAME, EntityStage
from modelmill_data_prep.domain.filtering.rule import FilterRule
from modelmill_data_prep.domain.mapping.map_block import map_block
from modelmill_data_prep.domain.mapping.row_mapping import RowMapping
from modelmill_data_prep.domain.reading.parse_block import parse_block
from modelmill_data_prep.domain.stages import RuleStage, Stage, StageResult, TextTransform
from modelmill_data_prep.domain.tally import measure_lengths
from modelmill_data_prep.pipeline.row_worker import BlockKeys, RowWorker, WorkerParts
from modelmill_data_prep.pipeline.training_extras import RowMakers, RowTokenizer

MAKERS: Mapping[str, Callable[[], TextTransform]] = {
    "encoding": EncodingRepair,
    "markup": Markup,
    "unicode": UnicodeForm,
    "invisible": Invisible,
    "spaces": Spaces,
    "boilerplate": Boilerplate,
    "repeats": Repeats,
    "simplified": SimplifiedChinese,
    "stop_words": lambda: StopWords(spacy_stop_words),
}
"""Factory by transform name."""


def clean_transforms(plan: CleanPlan) -> list[TextTransform]:
    """Transforms of a plan in order; the whole chain is idempotent."""
    transforms: list[TextTransform] = []
    for name in plan.transforms:
        transforms.append(IdempotentTransform(MAKERS[name](), transforms))
    return transforms


_LANGUAGES = ("en", "zh")


def load_synonyms() -> list[tuple[str, ...]]:
    """Groups of interchangeable words, English and Chinese."""
    folder = files("modelmill_data_prep") / "resources" / "synonyms"
    return [
        tuple(line.split())
        for language in _LANGUAGES
        for line in (folder / f"{language}.txt").read_text("utf-8").splitlines()
    ]


def worker_of(request: Mapping[str, Any]) -> RowWorker:
    """Create a worker for the dataset spec of `request`, plain JSON.

    Raises:
        InvalidInputError: The spec is invalid; lists every error.
    """
    plan = plan_dataset(request["spec"])
    stages = stages_of(plan, bytes.fromhex(request["pseudonym_key"]))
    return RowWorker(
        WorkerParts(
            BlockReader(plan.mapping),
            stages,
            MaskedSamples(plan.entities),
            KeyMaker(plan),
            measure_lengths,
            _row_makers(plan),
            _tokenizer(request.get("tokens")),
            plan.curriculum.order != NONE,
        )
    )


def _row_makers(plan: DatasetPlan) -> RowMakers | None:
    if not plan.augment.by_words:
        return None
    groups = load_synonyms()
    makers = [(Synonyms(groups, step.limits), step.share) for step in plan.augment.by_words]
    return RowMakers(makers, plan.seed)


def _tokenizer(tokens: Mapping[str, Any] | None) -> RowTokenizer | None:
    if tokens is None:
        return None
    tokenizer = BoundedTokenizer.load(Path(tokens["folder"]))
    return RowTokenizer(BoundedConversations(tokenizer), tokens["max_tokens"])


def stages_of(plan: DatasetPlan, pseudonym_key: bytes) -> list[tuple[str, Stage]]:
    """(Name, stage) of all per-row stages, in order."""
    stages: list[tuple[str, Stage]] = [("clean", CleanStage(clean_transforms(plan.clean)))]
    if not plan.filter.is_off:
        stages.append(("filter", RuleStage(FilterRule(plan.filter))))
    if not plan.entities.is_off:
        stages.append((NAME, _entity_stage(plan.entities, pseudonym_key)))
    return stages


def _entity_stage(plan: EntityPlan, pseudonym_key: bytes) -> Stage:
    finders: list[EntityFinder] = [RuleFinder(plan.actions)]
    if plan.spacy_models:
        # Imported lazily, because it loads spaCy.
        from modelmill_data_prep.adapters.spacy_pipelines import SpacyEntityFinder

        finders.append(SpacyEntityFinder(plan.spacy_models))
    return EntityStage(plan, finders, Pseudonymiser(pseudonym_key))


class MaskedSamples:
    """Masks entities in samples of removed rows.

    Rows are removed before the entity stage, or could not be parsed, so their samples are searched
    as plain text. Types with action "report" stay visible.
    """

    def __init__(self, plan: EntityPlan) -> None:
        self._types = frozenset(name for name, action in plan.actions.items() if action != "report")
        self._find = RuleFinder(self._types)

    def __call__(self, dropped: pa.RecordBatch) -> pa.RecordBatch:
        """Mask the samples of a batch of `DROPPED`."""
        if not self._types or not dropped.num_rows:
            return dropped
        column = dropped.schema.get_field_index("sample")
        samples = mask_entities(dropped.column(column).to_pylist(), self._find, self._types)
        return dropped.set_column(column, dropped.schema.field(column), pa.array(samples))


class BlockReader:
    """Parses a block's rows and maps them to conversations."""

    def __init__(self, mapping: RowMapping) -> None:
        self._mapping = mapping

    def __call__(self, block: Block) -> StageResult:
        """Convert each raw row to a row of `ROWS` or of `DROPPED`."""
        return map_block(parse_block(block), self._mapping)


class KeyMaker:
    """Computes the comparison keys that the plan needs."""

    def __init__(self, plan: DatasetPlan) -> None:
        self._seed = plan.seed
        self._with_signatures = bool(plan.duplicates.thresholds)

    def __call__(self, rows: pa.RecordBatch) -> BlockKeys:
        """Keys of a batch of `ROWS`."""
        made = row_signatures(rows) if self._with_signatures else None
        return BlockKeys(row_keys(rows, self._seed), made)
