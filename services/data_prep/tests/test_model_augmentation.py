"""What models say of rows gets into the dataset, and the same answers give the same bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from data_prep_support.inference import parent_models
from data_prep_support.preparing import Dataset, prepare
from modelmill_data_prep.adapters.parent_models import (
    HEAD_CHARACTERS,
    NOTHING_TO_SCORE,
    score_requests,
)
from modelmill_data_prep.domain.augmenting.row_makers import MAX_TURN_CHARACTERS
from modelmill_data_prep.domain.row_batch import ROWS
from modelmill_data_prep.pipeline.model_augmentation import NoLossError
from modelmill_testkit.fake_inference import VERSION, FakeInference
from modelmill_testkit.models import make_tiny_llama
from modelmill_token_files.token_file import TrainingOrder

GIVEN: list[object] = [
    {"q": f"Where shall I begin to repair automobile number {n}?", "a": "abcdefghij"[: n % 10 + 1]}
    for n in range(40)
]
ALL_TRAIN = {"train": 1.0}
PARAPHRASED = {"steps": [{"method": "paraphrase", "share": 0.5, "model": "base"}]}
BY_LOSS = {"order": "staged", "weights": {"loss": 1.0}, "loss_model": "base"}


def rows(*turns: list[tuple[str, str]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {
                "line": line,
                "source": bytes(32),
                "roles": [role for role, _ in row],
                "contents": [content for _, content in row],
                "extras": [None] * len(row),
                "tools": None,
                "rejected": None,
                "changes": [],
                "made_by": None,
            }
            for line, row in enumerate(turns, 1)
        ],
        schema=ROWS,
    )


def made_of(dataset: Dataset, split: str = "train") -> list[dict[str, Any]]:
    return [row for row in dataset.splits[split] if "made_by" in row]


def orders(into: list[TrainingOrder]) -> Callable[[Path], None]:
    return lambda folder: into.append(TrainingOrder.read(folder))


def test_the_last_answer_is_scored_after_what_precedes_it() -> None:
    (request,) = score_requests(rows([("user", "a"), ("assistant", "b")]))

    assert request is not None
    (turn,) = request.conversation.messages
    assert (turn.role, turn.content, list(request.continuations)) == ("user", "a", ["b"])
    # Whose they are and which model is asked is for the parent to say.
    assert (request.tenant, request.model) == ("", "")


def test_of_a_document_the_rest_is_scored_after_its_head() -> None:
    document = "abcdefgh" * 100
    long, short = score_requests(rows([("assistant", document)], [("assistant", "abcd")]))

    assert long is not None
    assert short is not None
    assert (long.text, *long.continuations) == (
        document[:HEAD_CHARACTERS],
        document[HEAD_CHARACTERS:],
    )
    assert (short.text, *short.continuations) == ("a", "bcd")


def test_what_has_nothing_to_score_or_too_much_is_not_asked_about() -> None:
    huge = [("user", "a"), ("assistant", "b" * (3 << 20))]

    requests = score_requests(rows([("user", "a"), ("assistant", "")], [("assistant", "a")], huge))

    assert requests == [None, None, None]


def test_a_loss_that_is_not_known_is_no_number_and_costs_its_row_alone() -> None:
    given = rows(*([("user", "a"), ("assistant", answer)] for answer in ("", "unreadable", "ab")))
    models = parent_models(FakeInference())

    losses = models.losses("base", given, lambda count: None)

    np.testing.assert_array_equal(losses, [np.nan, np.nan, 2.0])
    (use,) = models.uses
    assert (use.questions, use.without_answer, use.versions) == (3, 2, {VERSION: 1})
    assert use.refusal == NOTHING_TO_SCORE


def test_rows_of_train_alone_are_scored_and_ordered_by_what_the_model_loses_on_them() -> None:
    service = FakeInference()
    seen: list[TrainingOrder] = []

    dataset = prepare(
        GIVEN, curriculum=BY_LOSS, models=parent_models(service), look=orders(seen), block_rows=7
    )

    train = dataset.splits["train"]
    assert len(service.requests) == len(train) == 32
    questions = {row["messages"][0]["content"] for row in train}
    assert {request.conversation.messages[0].content for request in service.requests} == questions
    (order,) = seen
    losses = [len(train[row]["messages"][-1]["content"]) for row in order.rows.tolist()]
    easy, _, hard = (np.array(losses)[order.tiers == tier] for tier in range(3))
    assert max(easy) <= min(hard)
    assert dataset.report["models"] == dataset.models
    assert dataset.models[0]["versions"] == {VERSION: 32}


@pytest.mark.tier("test")
def test_a_row_that_gets_no_token_ids_takes_its_loss_along(tmp_path: Path) -> None:
    folder = make_tiny_llama(tmp_path / "base")
    tokens = {"model": "mv-1", "folder": str(folder), "max_tokens": 200, "pack_tokens": 2_048}
    given: list[object] = [
        {"q": "Who shall read this? " * 40, "a": "abcdefghijklmnop"},
        *({"q": f"q{n}", "a": "abcdefghij"[: n + 1]} for n in range(10)),
    ]
    seen: list[TrainingOrder] = []

    dataset = prepare(
        given,
        curriculum=BY_LOSS,
        models=parent_models(FakeInference()),
        look=orders(seen),
        shares=ALL_TRAIN,
        tokenize={"model": "mv-1"},
        tokens=tokens,
    )

    assert [row["line"] for row in dataset.quarantine] == [1]
    (order,) = seen
    hardest = np.argsort(order.difficulties)
    assert order.rows[hardest].tolist() == list(range(10))


def test_a_row_that_the_model_cannot_score_stands_in_the_middle() -> None:
    seen: list[TrainingOrder] = []
    given = [*GIVEN[:9], {"q": "What can nobody read?", "a": "unreadable"}]

    prepare(
        given,
        curriculum=BY_LOSS,
        models=parent_models(FakeInference()),
        look=orders(seen),
        shares=ALL_TRAIN,
    )

    (order,) = seen
    assert order.difficulties[order.rows.tolist().index(9)] == 0.5


def test_a_model_that_can_score_no_row_makes_no_order() -> None:
    given = [{"q": f"q{n}", "a": "unreadable"} for n in range(5)]

    with pytest.raises(NoLossError, match="base can score none of 5 rows: the prompt is too long"):
        prepare(
            given,
            curriculum=BY_LOSS,
            models=parent_models(FakeInference()),
            shares=ALL_TRAIN,
        )


@pytest.mark.parametrize("method", ["paraphrase", "back_translation"])
def test_a_model_augments_train_rows_only_and_names_their_source(method: str) -> None:
    steps = [
        {"method": method, "share": 0.5, "model": "base"},
        {"method": "synonyms", "share": 0.5, "min_similarity": 0.2},
    ]

    dataset = prepare(GIVEN, augment={"steps": steps}, models=parent_models(FakeInference()))

    made = [row for row in made_of(dataset) if row["made_by"] == f"{method}@1"]
    assert 5 < len(made) < 30
    assert dataset.counts["rows_made"] == len(made_of(dataset)) > len(made)
    assert not made_of(dataset, "valid") + made_of(dataset, "test")
    given = {row["row"]: row for row in dataset.splits["train"] if "made_by" not in row}
    for row in made:
        source = given[row["row"]]
        assert row["source"] == source["source"]
        assert row["messages"][0]["content"].startswith(source["messages"][0]["content"])
        assert row["messages"][1:] == source["messages"][1:]
    records = [one for one in dataset.provenance if one["made_by"] == f"{method}@1"]
    assert sorted(one["line"] for one in records) == sorted(row["row"] for row in made)


def test_what_a_model_wrote_passes_the_stages_and_is_nothing_that_is_there_already() -> None:
    asked = "Please tell me what number I have to call"
    given: list[object] = [{"q": f"{asked} in town {n}", "a": "ok"} for n in range(20)] + [
        {"q": f"{asked} in town 3, or so", "a": "ok"}
    ]
    steps = [{"method": "paraphrase", "share": 1.0, "model": "base"}]

    def made(**more: Any) -> set[str]:
        dataset = prepare(
            given, augment={"steps": steps}, models=parent_models(FakeInference()), **more
        )
        return {row["messages"][0]["content"] for row in made_of(dataset)}

    texts = made(shares=ALL_TRAIN)
    assert len(texts) == 20
    assert f"{asked} in town 3, or so" not in texts
    # A row with another row's words and its own is too long for this filter: so is what is made.
    longest = {"thresholds": {"characters.max": len(asked) + 14.0}}
    assert made(shares=ALL_TRAIN, filter=longest) == set()


def test_of_equal_augmented_rows_the_first_stays() -> None:
    class SaysOneThing(FakeInference):
        async def Generate(self, request: Any, context: Any) -> Any:
            async for part in super().Generate(request, context):
                part.text_delta = "Where is it?" if part.HasField("end") else ""
                yield part

    steps = [{"method": "paraphrase", "share": 1.0, "model": "base", "min_similarity": 0.01}]
    given: list[object] = [{"q": f"Where is house {n}?", "a": "ab"[n % 2]} for n in range(20)]

    dataset = prepare(
        given,
        augment={"steps": steps},
        models=parent_models(SaysOneThing()),
        shares=ALL_TRAIN,
        block_rows=3,
    )

    # One for each answer: a question may have several.
    assert [row["row"] for row in made_of(dataset)] == [1, 2]


def test_a_long_turn_is_not_put_to_a_model() -> None:
    service = FakeInference()
    long = "Where is the station? " * (MAX_TURN_CHARACTERS // 20)
    steps = [{"method": "paraphrase", "share": 1.0, "model": "base"}]

    dataset = prepare(
        [{"q": long, "a": "a"}, *GIVEN[:9]],
        augment={"steps": steps},
        models=parent_models(service),
        shares=ALL_TRAIN,
    )

    assert len(service.requests) == 9 == len(made_of(dataset))


@pytest.mark.tier("test")
@pytest.mark.heavy
def test_however_many_processes_and_blocks_there_are_the_answers_make_the_same_dataset() -> None:
    def made(processes: int, block_rows: int) -> Dataset:
        return prepare(
            GIVEN,
            processes=processes,
            block_rows=block_rows,
            augment=PARAPHRASED,
            curriculum={**BY_LOSS, "order": "competence", "weights": {"loss": 1, "length": 2}},
            models=parent_models(FakeInference()),
        )

    one = made(1, 7)
    assert one.counts["rows_made"] > 5
    assert one.bytes == made(2, 7).bytes
    whole = made(1, 1_000)
    assert sorted(map(str, whole.rows)) == sorted(map(str, one.rows))
    assert whole.models == one.models


def test_a_plan_that_asks_models_is_not_made_without_them() -> None:
    with pytest.raises(ValueError, match="no model access was given"):
        prepare(GIVEN, augment=PARAPHRASED)
