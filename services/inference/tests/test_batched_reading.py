"""Scores and vectors that are read together are what each is alone."""

from pathlib import Path
from typing import Any

import pytest
from modelmill_inference.adapters.openvino import PipelineOptions
from modelmill_inference.children.triton_reader import BatchedReader

pytestmark = pytest.mark.heavy

SCORES = [
    {"score": {"id": 1, "prompt": [20, 30, 40], "continuations": [[50, 60], [70]]}},
    {"score": {"id": 2, "prompt": [21], "continuations": [[9, 8, 7, 6]]}},
    {"score": {"id": 3, "prompt": [20, 30, 40], "continuations": [[50]]}},
    {"score": {"id": 4, "prompt": [*range(3, 303)], "continuations": [[5]]}},
    {"score": {"id": 5, "prompt": [21, 22], "continuations": [[5]]}},
]
VECTORS = [
    {"embed": {"id": 6, "texts": [[20, 30, 40], [9] * 300]}},
    {"embed": {"id": 7, "texts": []}},
    {"embed": {"id": 8, "texts": [[4]]}},
]
BAD = [
    {"score": {"id": 9, "prompt": [20], "continuations": [[10**9]]}},
    {"embed": {"id": 10}},
    {"embed": {"id": 11, "texts": "no"}},
    {"score": {"id": 12}},
]


@pytest.fixture(scope="module")
def reader(openvino_folder: Path) -> BatchedReader:
    return BatchedReader({"folder": str(openvino_folder), **PipelineOptions().load_message()})


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, list):
        return [number for one in value for number in numbers_in(one)]
    return [float(value)]


def test_together_and_in_any_order_they_are_what_they_are_alone(reader: BatchedReader) -> None:
    messages = [SCORES[0], VECTORS[0], SCORES[1], VECTORS[1], *SCORES[2:], VECTORS[2]]
    alone = [answer for message in messages for answer in reader.answer_all([message])]

    together = reader.answer_all(messages)
    backwards = reader.answer_all(messages[::-1])[::-1]

    ids = [body["id"] for message in messages for body in message.values()]
    for answers in (alone, together, backwards):
        assert [answer["result"][0] for answer in answers] == ids
        assert numbers_in([answer["result"][1] for answer in answers]) == pytest.approx(
            numbers_in([answer["result"][1] for answer in alone]), abs=1e-4
        )


def test_bad_ones_are_refused_and_the_others_answered(reader: BatchedReader) -> None:
    messages = [*SCORES, *BAD, *VECTORS]

    answers = reader.answer_all(messages)

    refused = [answer["rejected"][0] for answer in answers if "rejected" in answer]
    assert refused == [9, 10, 11, 12]
    good = reader.answer_all([*SCORES, *VECTORS])
    assert numbers_in([answer["result"][1] for answer in answers if "result" in answer]) == (
        pytest.approx(numbers_in([answer["result"][1] for answer in good]), abs=1e-4)
    )
