"""A file of rows to a folder with a dataset: nothing lost, nothing twice, nothing leaked."""

import pytest
from data_prep_support.preparing import SPLITS, Dataset, prepare, questions
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.duplicates.split_planner import TooFewTextsError
from modelmill_data_prep.domain.text_form import comparison_key
from modelmill_data_prep.prepare_dataset import NoValidRowsError


def test_the_demo_gets_exactly_two_hundred_test_rows() -> None:
    shares = {"train": 0.79, "valid": 0.05, "test": 0.16}

    counts = prepare(questions(1260), shares=shares, max_test_rows=200).counts

    assert (counts["train"], counts["valid"], counts["test"]) == (997, 63, 200)


def test_bad_rows_go_to_the_quarantine_with_line_reason_and_text() -> None:
    dataset = prepare([*questions(3), b"{oops", {"q": "x"}, *questions(9)[3:]])

    assert dataset.quarantine == [
        {"line": 4, "reason": "not JSON", "raw": "{oops"},
        {"line": 5, "reason": "missing column 'a'", "raw": '{"q": "x"}'},
    ]
    assert dataset.report["reasons"] == {"not JSON": 1, "missing column 'a'": 1}
    assert dataset.counts["rows_kept"] == 9


def test_a_file_without_a_valid_row_is_refused_with_the_commonest_reason() -> None:
    with pytest.raises(NoValidRowsError) as caught:
        prepare([b"{", {"q": "1"}, {"q": "2"}])

    assert caught.value.message == (
        "none of 3 rows is valid. The most common reason is missing column 'a'"
    )
    with pytest.raises(NoValidRowsError, match="the file has no rows"):
        prepare([b" "])


def test_the_report_tells_which_personal_data_was_searched_and_which_was_not() -> None:
    said = prepare(questions(9), entities={"actions": {"*": "mask", "ip": "keep"}}).report

    assert said["personal_data"]["actions"]["email"] == "mask"
    assert said["personal_data"]["not_searched"] == ["ip", "organisation"]
    assert prepare(questions(9)).report["personal_data"]["actions"] == {}


def test_variants_of_a_text_are_duplicates_and_the_first_is_kept() -> None:
    variants = ["Café, 123", "cafe\u0301,  123", "ＣＡＦÉ， １２３", "Ca\u200bfé,\u00a0123"]
    rows: list[object] = [{"q": variant, "a": "Yes"} for variant in variants]

    dataset = prepare([*rows, {"q": "Café, 123", "a": "no"}, *questions(9)])

    assert dataset.report["duplicates"] == [{"kept": 1, "dropped": [2, 3, 4], "dropped_count": 3}]
    assert dataset.counts["rows_duplicate"] == 3
    kept = {row["row"]: row["messages"][0]["content"] for row in dataset.rows}
    assert kept[1] == "Café, 123"
    assert kept[5] == "Café, 123"


def test_a_row_that_an_evaluation_file_has_is_dropped_and_no_duplicate() -> None:
    rows = questions(12)

    dataset = prepare(
        [*rows, rows[11]],
        evaluation=[questions(3)],
        duplicates={"evaluation_file_ids": ["file-1"]},
        shares={"train": 1.0},
    )

    assert [row["row"] for row in dataset.splits["train"]] == list(range(4, 13))
    assert (dataset.counts["rows_dropped"], dataset.counts["rows_duplicate"]) == (3, 1)
    assert dataset.report["contaminated"] == {"evaluation file 1": 3}


def test_one_text_with_many_answers_stays_in_one_split() -> None:
    rows = [{"q": f"q{n % 20}", "a": f"answer {n}"} for n in range(100)]

    dataset = prepare(rows, shares={"train": 0.6, "valid": 0.2, "test": 0.2})

    assert [len(dataset.splits[split]) for split in SPLITS] == [60, 20, 20]


def test_texts_with_several_answers_are_counted_and_their_lines_are_told() -> None:
    rows = [{"q": f"q{n}", "a": "yes"} for n in range(9)]
    doubted = [{"q": f"q{n}", "a": "no"} for n in (2, 5)]

    dataset = prepare([*rows, *doubted, rows[3]])

    told = dataset.report["several_answers"]
    assert told["texts"] == 2
    assert sorted(told["lines"]) == [[3, 10], [6, 11]]
    assert prepare(rows).report["several_answers"]["texts"] == 0
    kept = prepare([*rows, *rows], duplicates={"keep_exact": True})
    assert kept.report["several_answers"] is None


def test_a_longer_run_of_a_conversation_stays_with_the_shorter_one() -> None:
    opening = [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Yes?"}]
    more = [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye"}]
    others = [
        [{"role": "user", "content": str(n)}, {"role": "assistant", "content": "ok"}]
        for n in range(8)
    ]
    rows = [{"m": opening}, {"m": opening + more}, *({"m": turns} for turns in others)]

    for seed in range(20):
        dataset = prepare(rows, seed=seed, mapping={"messages_column": "m"})
        where = {row["row"]: split for split in SPLITS for row in dataset.splits[split]}
        assert where[1] == where[2]
        assert dataset.choices is None


def test_few_short_answers_are_choices_and_many_are_not() -> None:
    assert prepare(questions(30)).choices == ["0", "1", "2"]
    assert prepare(questions(30)).report["choices"] == {"0": 10, "1": 10, "2": 10}
    assert prepare([{"q": str(n), "a": str(n)} for n in range(64)]).choices is not None
    assert prepare([{"q": str(n), "a": str(n)} for n in range(65)]).choices is None


def test_each_split_asked_for_gets_a_row_and_too_few_texts_are_refused() -> None:
    assert [len(rows) for rows in prepare(questions(3)).splits.values()] == [1, 1, 1]
    shares = {"train": 0.02, "valid": 0.03, "test": 0.95}
    assert all(prepare(questions(10), shares=shares).splits.values())
    only_train = prepare(questions(1), shares={"train": 1.0})
    assert [len(rows) for rows in only_train.splits.values()] == [1, 0, 0]
    with pytest.raises(TooFewTextsError, match="2 different user texts cannot fill 3 splits"):
        prepare(questions(2))


def test_a_limit_on_test_rows_that_no_text_meets_is_refused() -> None:
    rows = [{"q": f"q{n % 4}", "a": f"answer {n}"} for n in range(40)]

    with pytest.raises(TooFewTextsError, match="few enough rows for a test split of 5"):
        prepare(rows, max_test_rows=5)


texts = st.text(st.sampled_from("abAＡ \u200b好\u00e9e\u0301"), min_size=0, max_size=4)
rows_of_any_quality = st.lists(
    st.one_of(
        st.fixed_dictionaries({"q": texts, "a": texts}),
        st.fixed_dictionaries({"q": texts}),
        st.binary(max_size=10).map(lambda junk: b"x" + junk.translate(None, b"\n\0")),
    ),
    max_size=60,
)


@given(rows_of_any_quality, st.integers(0, 5), st.integers(0, 5), st.sampled_from([0.0, 0.1, 0.3]))
def test_whatever_the_rows_none_is_lost_and_no_text_is_in_two_splits(
    lines: list[object], seed: int, max_test_rows: int, share: float
) -> None:
    shares = {"train": 0.9 - share, "valid": share, "test": 0.1}
    spec = {"shares": shares, "seed": seed, "max_test_rows": max_test_rows}
    try:
        dataset = prepare(lines, **spec)
    except (NoValidRowsError, TooFewTextsError):
        return

    counts = dataset.counts
    assert counts["rows_in"] == len(lines)
    assert counts["rows_in"] == (
        counts["rows_kept"] + counts["rows_quarantined"] + counts["rows_duplicate"]
    )
    assert counts["rows_kept"] == sum(counts[split] for split in SPLITS) == len(dataset.rows)
    assert counts["rows_quarantined"] == len(dataset.quarantine)
    assert not max_test_rows or counts["test"] <= max_test_rows
    gone = [line for one in dataset.report["duplicates"] for line in one["dropped"]]
    gone += [row["line"] for row in dataset.quarantine]
    assert sorted(gone + [row["row"] for row in dataset.rows]) == list(range(1, len(lines) + 1))
    for row in dataset.rows:
        source = lines[row["row"] - 1]
        assert isinstance(source, dict)
        text_array_without_system = [turn["content"] for turn in row["messages"]]
        assert [comparison_key(text) for text in text_array_without_system] == [
            comparison_key(source[column].replace("\u200b", "")) for column in ("q", "a")
        ]
    keys = [
        {comparison_key(row["messages"][0]["content"]) for row in dataset.splits[split]}
        for split in SPLITS
    ]
    assert sum(map(len, keys)) == len(set.union(*keys))
    assert prepare(lines, **spec).bytes == dataset.bytes


@settings(max_examples=20)  # test_planning_splits has the whole property
@given(
    st.integers(3, 200),
    st.integers(0, 2**64 - 1),
    st.tuples(st.integers(1, 98), st.integers(1, 98)).filter(lambda pair: sum(pair) < 100),
)
def test_shares_of_different_texts_are_exact_within_one_row(
    count: int, seed: int, percent: tuple[int, int]
) -> None:
    valid, test = percent[0] / 100, percent[1] / 100
    shares = {"train": 1 - valid - test, "valid": valid, "test": test}

    dataset = prepare(questions(count), shares=shares, seed=str(seed))

    rows = {split: len(dataset.splits[split]) for split in SPLITS}
    if all(share * count >= 1 for share in shares.values()):
        assert all(abs(rows[split] - shares[split] * count) <= 1 for split in SPLITS)
    assert all(rows.values())


@settings(max_examples=20)  # test_planning_splits has the whole property
@given(st.permutations(questions(30)), st.integers(0, 3))
def test_the_split_of_a_text_does_not_depend_on_where_it_stands(
    rows: list[dict[str, str]], seed: int
) -> None:
    def texts_of(dataset: Dataset) -> dict[str, set[str]]:
        return {
            split: {row["messages"][0]["content"] for row in dataset.splits[split]}
            for split in SPLITS
        }

    assert texts_of(prepare(rows, seed=seed)) == texts_of(prepare(questions(30), seed=seed))
