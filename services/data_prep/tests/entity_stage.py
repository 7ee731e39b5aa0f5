"""A stage that takes entities out by rules, and rows for it."""

from typing import Any

import pyarrow as pa
from modelmill_data_prep.domain.entities.entity_plan import plan_entities
from modelmill_data_prep.domain.entities.pseudonyms import Pseudonymiser
from modelmill_data_prep.domain.entities.rule_finder import RuleFinder
from modelmill_data_prep.domain.entities.stage import EntityStage
from modelmill_data_prep.domain.row_batch import ROWS

FIND = RuleFinder()
PSEUDONYMISE = Pseudonymiser(b"a key")


def rows_of(*conversations: list[str], **columns: list[Any]) -> pa.RecordBatch:
    count = len(conversations)
    given_columns: dict[str, list[Any]] = {
        "line": list(range(1, count + 1)),
        "source": [bytes(32)] * count,
        "roles": [["user"] * len(one) for one in conversations],
        "contents": list(conversations),
        "extras": [[None] * len(one) for one in conversations],
        "tools": [None] * count,
        "rejected": [None] * count,
        "changes": [[] for _ in conversations],
        "made_by": [None] * count,
        "document": [None] * count,
    } | columns
    return pa.RecordBatch.from_pydict(given_columns, schema=ROWS)


def stage(**actions: str) -> EntityStage:
    return EntityStage(plan_entities({"actions": actions}), [FIND], PSEUDONYMISE)
