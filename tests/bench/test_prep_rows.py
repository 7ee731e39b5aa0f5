"""The rows that prep.* grows, and what dedup.* takes for near duplicates."""

import json
from itertools import combinations, groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.planted_duplicates import joined, judge, plant, similar_pairs
from tests.bench.prep_rows import NOUNS, REVIEWS, absence, grown, halves, rows_of, write_rows
from tests.bench.rival_datasketch import shingles

THRESHOLD = 0.8
FOLDER = "BENCH_DATA"
SENTENCES = [f"the {word} of a {word} that {word}s in {word} water" for word in "abcdefghijkl"]


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


@given(st.text())
def test_the_halves_of_a_text_are_the_text(text):
    assert "".join(halves(text)) == text


def test_rows_beyond_those_given_are_hardly_ever_near_duplicates(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    known = len({row["word"] for row in rows_of(NOUNS, 1_200)})
    rows = [NOUNS.text(row) for row in rows_of(NOUNS, 4_000)]

    pairs = list(similar_pairs([shingles(row) for row in rows], THRESHOLD))

    near = {place for pair in pairs for place in pair if place >= 1_310}
    assert known > 1_000
    assert len(near) < 0.02 * len(rows)


def test_ten_times_the_rows_are_ten_times_the_texts():
    rows = [{"word": "w", "gloss": f"{text} {text[::-1]}", "label": "l"} for text in SENTENCES]
    several = [rows[0], *rows, rows[5]]

    grown_rows = [row["gloss"] for row in grown(several, 10 * len(several), "gloss")]

    assert len(set(grown_rows)) == 10 * len(rows)
    assert [len(list(same)) for _, same in groupby(sorted(grown_rows))].count(2) == 2 * 10


def test_rows_come_from_the_folder_that_the_environment_names(tmp_path: Path, monkeypatch):
    row = {"text": "房间很干净", "label": "好评"}
    (tmp_path / REVIEWS.file).write_text(json.dumps(row) + "\n", encoding="utf-8")
    monkeypatch.setenv(FOLDER, str(tmp_path))

    assert absence(REVIEWS) is None
    assert list(rows_of(REVIEWS, 1)) == [row]


def test_without_a_folder_there_are_no_reviews(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)

    assert absence(NOUNS) is None
    assert FOLDER in (absence(REVIEWS) or "")


def test_rivals_get_every_row_once_in_a_file_for_each_process(tmp_path: Path):
    rows = [{"word": f"w{number}", "gloss": "g", "label": "l"} for number in range(7)]

    file = write_rows(NOUNS, rows, tmp_path / "rows", shards=3)

    parts = [path.read_text().splitlines() for path in sorted(file.shards.iterdir())]
    texts = [json.loads(line)["text"] for part in parts for line in part]
    assert len(parts) == 3
    assert texts == [f"w{number}: g" for number in range(7)]
    assert (file.rows, file.path.stat().st_size) == (7, file.size_bytes)


@given(st.lists(st.text("abcd", min_size=1, max_size=12).map(shingles), max_size=12))
def test_pairs_are_similar_exactly_if_their_jaccard_similarity_says_so(sets):
    by_hand = {
        (one, other)
        for one, other in combinations(range(len(sets)), 2)
        if jaccard(sets[one], sets[other]) >= THRESHOLD
    }
    assert set(similar_pairs(sets, THRESHOLD)) == by_hand


def test_every_text_has_a_copy_with_as_many_edits_as_its_rate_says():
    planted = plant([*SENTENCES, SENTENCES[0]], THRESHOLD)

    assert len(planted.texts) == 2 * len(SENTENCES)
    for (place, copy), rate in planted.copies.items():
        one, other = planted.texts[place], planted.texts[copy]
        edits = sum(a != b for a, b in zip(one, other, strict=True))
        assert edits <= max(1, round(rate * len(one)))


def test_leaders_that_follow_the_truth_have_full_marks():
    planted = plant(SENTENCES, THRESHOLD)

    found = judge(planted, joined(len(planted.texts), planted.near))

    assert planted.near
    assert (found.recall, found.precision) == (1.0, 1.0)
    assert set(found.by_rate.values()) == {1.0}


@pytest.mark.parametrize("everything", [True, False])
def test_joining_all_costs_precision_and_joining_none_costs_recall(everything):
    planted = plant(SENTENCES, THRESHOLD)
    places = range(len(planted.texts))

    found = judge(planted, [0 if everything else place for place in places])

    assert (found.recall, found.precision < 1.0) == ((1.0, True) if everything else (0.0, False))
