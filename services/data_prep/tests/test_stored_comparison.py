"""A comparison of two datasets has what people ask of them, is made once, and read in pages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_prep_support.preparing import prepare, questions
from modelmill_data_prep import comparison_folder, row_lengths, stored_comparison
from modelmill_data_prep.comparison_folder import ComparisonFolder
from modelmill_data_prep.shown_rows import SHOWN_BYTES
from modelmill_data_prep.stored_comparison import DatasetFiles, StoredComparison

Look = Callable[[DatasetFiles, DatasetFiles], None]
OLD, NEW = "sha256:b", "sha256:a"


def comparison_of(
    root: Path, first: DatasetFiles, second: DatasetFiles, *, tenant: str = "acme"
) -> StoredComparison:
    return stored_comparison.stored_comparison(ComparisonFolder(root), tenant, first, second)


def stored_in(root: Path) -> list[str]:
    """Tenants and digests of what is there."""
    return sorted(str(each.relative_to(root)) for each in root.glob("*/*"))


def compared(old: list[Any], new: list[Any], look: Look, **of_new: Any) -> None:
    """Prepare two datasets, the second with these fields of its spec, and look at both."""

    def with_old(first: Path) -> None:
        prepare(
            new,
            look=lambda second: look(DatasetFiles(OLD, first), DatasetFiles(NEW, second)),
            **of_new,
        )

    prepare(old, look=with_old)


def pairs(found: dict[str, Any], name: str) -> dict[str, tuple[int, int]]:
    return {each["name"]: (each["first"], each["second"]) for each in found[name]}


def test_planted_differences_are_told_of_both_sides(tmp_path: Path) -> None:
    old = [*questions(40), {"q": "short", "a": "0"}]
    new = [*old[10:], *({"q": f"問題 {n} 是什麼", "a": "9"} for n in range(5))]

    def look(first: DatasetFiles, second: DatasetFiles) -> None:
        found = comparison_of(tmp_path, first, second).whole()
        assert (found["rows_common"], found["rows_moved"]) == (30, 0)
        assert (found["first"]["rows"], found["first"]["rows_unshared"]) == (41, 11)
        assert (found["second"]["rows"], found["second"]["rows_unshared"]) == (35, 5)
        assert pairs(found, "unshared") == {
            "absent": (10, 5),
            "dropped filter.characters.min": (1, 0),
        }
        assert pairs(found, "removed") == {"dropped filter.characters.min": (0, 1)}
        assert pairs(found, "labels") == {
            **{"0": (15, 10), "1": (13, 10), "2": (13, 10)},
            "9": (0, 5),
        }
        assert pairs(found, "languages")["zh"] == (0, 5)
        assert pairs(found, "counts")["rows_in"] == (41, 36)
        assert found["first"]["tokens"] == dict.fromkeys(("p5", "p25", "p50", "p75", "p95"), 3)
        assert found["first"]["characters"]["p50"] == len("question 20\n1")

    compared(old, new, look, filter={"thresholds": {"characters.min": 9}})


def test_who_asks_the_other_way_round_is_told_the_same_of_one_stored_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(first: DatasetFiles, second: DatasetFiles) -> None:
        there = comparison_of(tmp_path, first, second).whole()
        monkeypatch.setattr(stored_comparison, "compare_rows", None)
        back = comparison_of(tmp_path, second, first).whole()

        assert (there["first"], there["second"]) == (back["second"], back["first"])
        assert there["first"]["rows_unshared"] == 2
        assert pairs(back, "unshared") == {
            name: rows[::-1] for name, rows in pairs(there, "unshared").items()
        }
        (stored,) = tmp_path.glob("*/*")
        assert sorted(each.name for each in stored.iterdir()) == [
            *("0.places", "0.unshared", "1.places", "1.unshared", "summary.json"),
        ]

    compared(questions(12), questions(12)[2:], look)


def test_rows_of_one_alone_come_in_pages_with_what_the_other_has(tmp_path: Path) -> None:
    old = [{"q": f"question  {n}", "a": "yes"} for n in range(30)]

    def look(first: DatasetFiles, second: DatasetFiles) -> None:
        comparison = comparison_of(tmp_path, first, second)
        seen: list[dict[str, Any]] = []
        has_more = True
        while has_more:
            page = comparison.page(len(seen), 8)
            assert len(page["rows"]) == min(8, 30 - len(seen))
            seen += page["rows"]
            has_more = page["has_more"]

        assert [row["number"] for row in seen] == list(range(1, 31))
        assert [json.loads(row["row_json"])["row"] for row in seen] == list(range(1, 31))
        assert {row["because"] for row in seen} == {"changed"}
        own, other = (json.loads(seen[4][name]) for name in ("row_json", "other_row_json"))
        assert own["messages"][0]["content"] == "question 4"
        assert other["messages"][0]["content"] == "question  4"
        assert comparison.page(30, 8) == {"rows": [], "has_more": False}

    compared(old, old, look, clean={"transforms": ["unicode"]})


def test_pages_and_samples_of_large_rows_fit_in_one_message(tmp_path: Path) -> None:
    large = [{"q": f"{n} {'x' * 9_000}", "a": "y"} for n in range(300)]

    def look(first: DatasetFiles, second: DatasetFiles) -> None:
        comparison = comparison_of(tmp_path, first, second)
        found = comparison.difference(samples=300)
        page = comparison.page(0, 300)

        assert (found["rows_removed"], found["rows_added"], len(found["added"])) == (300, 9, 9)
        assert SHOWN_BYTES - 10_000 < sum(map(len, found["removed"])) <= SHOWN_BYTES
        assert len(page["rows"]) == len(found["removed"])
        assert page["has_more"]

    compared(large, questions(9), look)


def test_lengths_of_many_rows_are_those_of_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_lengths, "MEASURED_ROWS", 60)
    words = [{"q": "word " * (1 + n % 100) + str(n), "a": "y"} for n in range(600)]

    def look(first: DatasetFiles, second: DatasetFiles) -> None:
        found = comparison_of(tmp_path, first, second).whole()
        assert (found["first"]["rows_measured"], found["second"]["rows_measured"]) == (60, 9)
        assert 35 <= found["first"]["tokens"]["p50"] <= 67

    compared(words, questions(9), look)


def test_long_answers_are_no_labels(tmp_path: Path) -> None:
    texts = [{"q": f"question {n}", "a": "a text " * 40} for n in range(12)]

    def look(first: DatasetFiles, second: DatasetFiles) -> None:
        assert comparison_of(tmp_path, first, second).whole()["labels"] == []

    compared(texts, questions(12), look)


def test_what_was_not_asked_for_longest_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison_folder, "MOST_STORED", 2)

    def look(first: DatasetFiles, second: DatasetFiles) -> None:
        others = [DatasetFiles(f"sha256:{n}", second.folder) for n in range(4)]
        for place, other in enumerate(others):
            comparison_of(tmp_path, first, other, tenant=("acme", "rival")[place % 2])
        assert stored_in(tmp_path) == ["acme/sha256-2-sha256-b", "rival/sha256-3-sha256-b"]

    compared(questions(9), questions(12), look)


async def test_comparisons_of_one_tenant_are_counted_and_erased_with_those_in_the_making(
    tmp_path: Path,
) -> None:
    stored = ComparisonFolder(tmp_path)
    for tenant, digests in (("acme", "ab"), ("acme", "ac"), ("rival", "ab")):
        folder = stored.of(tenant, digests)
        stored.begin(folder).rename(folder)
    left = stored.begin(stored.of("acme", "ad"))

    assert [await stored.count(each) for each in ("acme", "rival", "none")] == [
        {"comparisons": count} for count in (2, 1, 0)
    ]
    await stored.erase("acme")
    await stored.erase("none")
    assert not left.exists()
    assert stored_in(tmp_path) == ["rival/a-b"]


def test_what_a_killed_child_left_goes_before_the_next_comparison_of_anybody(
    tmp_path: Path,
) -> None:
    stored = ComparisonFolder(tmp_path)
    left = stored.begin(stored.of("acme", "ab"))
    stored.begin(stored.of("rival", "ab"))

    assert not left.exists()


def test_a_comparison_that_goes_with_its_tenant_meanwhile_disturbs_nobody(tmp_path: Path) -> None:
    stored = ComparisonFolder(tmp_path)
    folder = stored.of("rival", "ab")
    stored.begin(folder).rename(folder)
    # It is listed, and gone when it is looked at.
    stored.of("acme", "ab").parent.mkdir()
    stored.of("acme", "ab").symlink_to(tmp_path / "gone")

    stored.remove_oldest()
    assert folder.exists()


def test_a_disk_with_too_little_free_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_comparison, "BYTES_A_ROW", 10**18)

    def look(first: DatasetFiles, second: DatasetFiles) -> None:
        with pytest.raises(stored_comparison.InvalidInputError, match="21 source rows takes"):
            comparison_of(tmp_path, first, second)

    compared(questions(9), questions(12), look)


def test_equal_datasets_of_two_ids_are_compared(tmp_path: Path) -> None:
    def look(first: Path) -> None:
        both = [DatasetFiles(OLD, first)] * 2
        whole = comparison_of(tmp_path, *both).whole()
        assert (whole["rows_common"], whole["first"]["rows_unshared"]) == (12, 0)
        assert whole["first"] == whole["second"]

    prepare(questions(12), look=look)
