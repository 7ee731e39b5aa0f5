"""No row, whatever it is made of, holds up the others: time grows with a text, not with its square.

A quarter of a megabyte of each piece; what is quadratic in one of them takes many seconds.
"""

import time
from collections.abc import Callable
from functools import cache

import pyarrow as pa
import pytest
from modelmill_data_prep.domain.cleaning.clean_plan import TRANSFORMS
from modelmill_data_prep.domain.duplicates.row_keys import signatures
from modelmill_data_prep.domain.entities.entity_plan import without_overlaps
from modelmill_data_prep.domain.entities.rule_finder import RuleFinder
from modelmill_data_prep.domain.filtering.filter_plan import plan_filter
from modelmill_data_prep.domain.filtering.rule import FilterRule
from modelmill_data_prep.domain.stages import TextTransform
from modelmill_data_prep.domain.tally import measure_lengths
from modelmill_data_prep.pipeline.worker_parts import MAKERS

TEXT_BYTES = 256 * 1024
CPU_SECONDS = 2.0
PIECES = {
    "one letter": "a",
    "one mark": "<",
    "ampersands": "&",
    "entities of entities": "&amp;",
    "tags": "<b>",
    "brackets": "[{(",
    "marks out of order": "\u0301\u0316",
    "marks behind letters": "e\u0301\u0316",
    "joiners between marks": "\u200d\u05b0",
    "families": "\U0001f469\u200d",
    "backticks": "`",
    "mojibake": "Ã©",
    "addresses of all lengths": "a@b.cc 12@example.cn x.y.z@d.ee ",
    "lines of menus": "home | news | about us\n",
}
WHOLE = {
    "an indentation": "x\n" + " " * TEXT_BYTES + "y",
    "blocks in blocks": "<div>" * (TEXT_BYTES // 11) + "</div>" * (TEXT_BYTES // 11),
    "blanks kept as they are": "<p><pre>" + " " * TEXT_BYTES + "x</pre></p>",
    "a mark that wanders": "a\u0345" + "\u200d\u05b0" * (TEXT_BYTES // 5),
}


def hostile(kind: str) -> str:
    if kind in WHOLE:
        return WHOLE[kind]
    piece = PIECES[kind]
    return piece * (TEXT_BYTES // len(piece.encode()))


@cache
def transforms() -> dict[str, TextTransform]:
    """All, with what they load loaded."""
    made = {name: MAKERS[name]() for name in TRANSFORMS}
    for transform in made.values():
        transform(["\u0300\u0316" * 40 + " <b>x</b> 髮 the"])
    return made


@pytest.mark.parametrize("kind", [*PIECES, *WHOLE])
def test_a_text_made_to_cost_time_costs_little(kind: str) -> None:
    text = hostile(kind)
    by_rules = FilterRule(plan_filter({"preset": "standard", "languages": ["zh", "en"]}))
    steps = dict(transforms())
    for step in (by_rules, measure_lengths, RuleFinder()):
        step(["x"])

    spent: dict[str, float] = {}
    for name, transform in steps.items():
        spent[name] = _seconds(lambda transform=transform: transform([text]))
    spent["entities"] = _seconds(lambda: without_overlaps(RuleFinder()([text])[0]))
    spent["filter"] = _seconds(lambda: by_rules([text]))
    spent["measures"] = _seconds(lambda: measure_lengths([text]))
    spent["signatures"] = _seconds(lambda: signatures(pa.array([text])))

    assert {name: one for name, one in spent.items() if one > CPU_SECONDS} == {}


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin
