"""What training reads of a dataset: made rows in train alone, token ids, and the order of rows."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from data_prep_support.preparing import SPLITS, Dataset, prepare
from modelmill_data_prep.pipeline.worker_parts import load_synonyms
from modelmill_data_prep.prepare_dataset import NoValidRowsError
from modelmill_testkit.models import make_tiny_llama
from modelmill_token_files.token_file import TokenFile, TrainingOrder, read_packs
from modelmill_token_files.tokens_plan import TokensPlan
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

ROWS: list[object] = [
    {"q": f"Please begin to repair the big automobile {n} " + "and go on " * (n % 7), "a": "ok"}
    for n in range(60)
]
MADE = {"steps": [{"method": "synonyms", "share": 0.5, "min_similarity": 0.2}]}
STAGED = {"order": "staged"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("base"))


def tokens_of(model: Path, max_tokens: int = 1_000) -> dict[str, Any]:
    return {"model": "mv-1", "folder": str(model), "max_tokens": max_tokens, "pack_tokens": 2_048}


def test_only_train_rows_are_augmented_and_they_name_their_source() -> None:
    dataset = prepare(ROWS, augment=MADE)

    made = [row for row in dataset.rows if "made_by" in row]
    assert dataset.counts["rows_made"] == len(made) > 5
    assert dataset.counts["rows_kept"] == 60 + len(made)
    scored = [*dataset.splits["valid"], *dataset.splits["test"]]
    assert not any("made_by" in row for row in scored)
    given = {row["row"]: row for row in dataset.splits["train"] if "made_by" not in row}
    for row in made:
        source = given[row["row"]]
        assert (row["made_by"], row["source"]) == ("synonyms@1", source["source"])
        assert row["messages"][0] != source["messages"][0]
        assert row["messages"][1] == source["messages"][1]
    records = [record for record in dataset.provenance if record["made_by"]]
    assert sorted(record["line"] for record in records) == sorted(row["row"] for row in made)


def test_an_augmented_row_equal_to_another_row_is_left_out() -> None:
    # Nothing but the last word has synonyms, and each of them is there already.
    nouns = next(group for group in load_synonyms() if "automobile" in group)
    rows: list[object] = [{"q": f"qqa qqb qqc qqd qqe qqf {noun}", "a": "ok"} for noun in nouns]
    steps = [{"method": "synonyms", "share": 1.0, "min_similarity": 0.1}]

    alone = prepare([*rows[:1], *ROWS[:9]], augment={"steps": steps}, shares={"train": 1.0})
    all_there = prepare([*rows, *ROWS[:9]], augment={"steps": steps})

    assert [row for row in alone.rows if "made_by" in row and row["row"] == 1]
    assert not [row for row in all_there.rows if "made_by" in row and row["row"] <= len(rows)]


@pytest.mark.tier("test")
@pytest.mark.parametrize("processes", [1, 2])
def test_token_ids_and_order_are_those_of_the_rows(model: Path, processes: int) -> None:
    seen: dict[str, Any] = {}

    def look(folder: Path) -> None:
        seen["plan"] = TokensPlan.read(folder)
        seen["packs"] = [pack.tolist() for pack in read_packs(folder)]
        seen["order"] = TrainingOrder.read(folder)
        for split in SPLITS:
            file = TokenFile(folder, split)
            seen[split] = [file[place].ids.tolist() for place in range(len(file))]

    dataset = prepare(
        ROWS,
        processes=processes,
        block_rows=9,
        augment=MADE,
        curriculum=STAGED,
        tokenize={"model": "mv-1"},
        tokens=tokens_of(model),
        look=look,
    )

    tokenizer = ChatTokenizer.load(model)
    for split in SPLITS:
        rows = dataset.splits[split]
        assert seen[split] == [list(tokenizer.encode_example(row["messages"]).ids) for row in rows]
    rows_of_train = list(range(dataset.counts["train"]))
    assert sorted(place for pack in seen["packs"] for place in pack) == rows_of_train
    assert sorted(seen["order"].rows.tolist()) == rows_of_train
    assert seen["order"].tiers.tolist() == sorted(seen["order"].tiers.tolist())
    assert sum(dataset.report["difficulty"].values()) == dataset.counts["train"]
    assert seen["plan"].model == "mv-1"


@pytest.mark.tier("test")
def test_however_many_processes_work_the_training_files_are_the_same(model: Path) -> None:
    def made(processes: int) -> Dataset:
        return prepare(
            ROWS,
            processes=processes,
            block_rows=7,
            augment=MADE,
            curriculum={"order": "competence"},
            tokenize={"model": "mv-1"},
            tokens=tokens_of(model),
        )

    assert made(1).bytes == made(2).bytes


@pytest.mark.tier("test")
def test_a_row_that_is_too_long_for_the_model_is_quarantined(model: Path) -> None:
    rows = [*ROWS, {"q": "long " * 500, "a": "ok"}]

    dataset = prepare(rows, tokenize={"model": "mv-1"}, tokens=tokens_of(model, 600))

    (row,) = dataset.quarantine
    assert row["line"] == 61
    assert "tokens" in row["reason"]
    (record,) = [record for record in dataset.provenance if record["line"] == 61]
    assert (record["outcome"], record["rule"]) == ("quarantined", "tokenize.too_long")


@pytest.mark.tier("test")
@pytest.mark.parametrize("curriculum", [{}, STAGED])
def test_rows_that_are_all_too_long_for_the_model_are_no_dataset(
    model: Path, curriculum: dict[str, Any]
) -> None:
    with pytest.raises(NoValidRowsError, match=r"left for training\. .*tokenize.too_long"):
        prepare(ROWS, tokenize={"model": "mv-1"}, tokens=tokens_of(model, 2), curriculum=curriculum)


def test_an_augmented_row_is_not_beside_its_source_in_the_training_order() -> None:
    seen: list[TrainingOrder | None] = []
    dataset = prepare(
        ROWS,
        augment={"steps": [{"method": "synonyms", "share": 1.0, "min_similarity": 0.2}]},
        curriculum=STAGED,
        look=lambda folder: seen.append(TrainingOrder.read(folder)),
    )

    assert seen[0] is not None
    lines = [dataset.splits["train"][place]["row"] for place in seen[0].rows]
    others = sum(one == other for one, other in pairwise(lines))
    assert dataset.counts["rows_made"] > 30
    assert others < dataset.counts["rows_made"] / 4
