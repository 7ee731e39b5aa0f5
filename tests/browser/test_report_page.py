"""The report of a dataset as a person sees it: all of it, true, and nothing else."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from tests.browser.conftest import HOSTILE, SPEC
from tests.browser.watched_page import WatchedPage, looks

CHARTS = {
    "Splits": lambda report: {name: report["counts"][name] for name in ("train", "valid", "test")},
    "Length in characters": lambda report: report["characters"]["histogram"],
    "Length in tokens": lambda report: report["tokens"]["histogram"],
    "Languages": lambda report: report["languages"],
    "Answers": lambda report: report["choices"],
    "Entities": lambda report: report["entities"],
}
"""Titles, and what the bars stand for."""


def grouped(numbers: list[int]) -> list[str]:
    return [f"{number:,}" for number in numbers]


def test_the_dataset_has_something_for_every_chapter(report: dict[str, Any]) -> None:
    assert set(report["rules"]) == {"dropped", "quarantined"}
    assert report["duplicates"]
    assert list(report["contaminated"]) == [
        "evaluation file 1",
        "evaluation file 2",
        "test split",
    ]
    assert len(report["languages"]) == 2
    assert all(values(report) for values in CHARTS.values())


def test_nothing_is_loaded_and_nothing_is_complained_of(opened: WatchedPage, folder: Path) -> None:
    assert opened.requests == [(folder / "report.html").as_uri()]
    assert opened.complaints == []


def test_no_text_of_a_row_runs_or_becomes_a_part_of_the_page(opened: WatchedPage) -> None:
    for summary in opened.page.locator("summary").all():
        summary.click()

    assert opened.page.evaluate("window.ran") is None
    assert opened.page.locator("script, img, iframe, a, link, svg svg").count() == 0
    assert opened.page.title() == f"{SPEC['name']} · dataset report"
    assert opened.texts("h1") == [SPEC["name"]]
    samples = "\n".join(opened.texts("details div"))
    assert [hostile for hostile in HOSTILE if hostile not in samples] == []
    assert opened.complaints == []
    assert len(opened.requests) == 1


def test_a_page_that_lets_a_text_through_is_noticed(watched: WatchedPage, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>x</title>{HOSTILE[0]}<img src=x onerror='ran = 2'>")

    watched.open(page)

    assert watched.page.evaluate("window.ran") == 2
    assert len(watched.requests) == 2
    assert watched.complaints


def test_the_root_and_the_counts_are_those_of_the_report(
    opened: WatchedPage, report: dict[str, Any]
) -> None:
    counts = report["counts"]
    told = " ".join(opened.texts("h1 + p")).split()

    assert opened.texts("#merkle-root") == [report["merkle_root"]]
    dropped = counts["rows_dropped"] + counts["rows_duplicate"]
    expected = grouped(
        [counts["rows_in"], counts["rows_kept"], dropped, counts["rows_quarantined"]]
    )
    assert [word for word in told if word[0].isdigit()] == expected


def test_the_tables_have_the_numbers_of_the_report(
    opened: WatchedPage, report: dict[str, Any]
) -> None:
    stages = [
        [name, *grouped([stage["rows_in"], stage["rows_changed"], stage["rows_dropped"]])]
        for name, stage in report["stages"].items()
    ]
    assert opened.cells("#stages") == stages
    tables = [opened.cells(f"table.rules >> nth={n}") for n in range(len(report["rules"]))]
    assert [[row[:2] for row in table] for table in tables] == [
        [[rule, f"{rows:,}"] for rule, rows in rules.items()] for rules in report["rules"].values()
    ]
    duplicates = [[str(one["kept"]), f"{one['dropped_count']:,}"] for one in report["duplicates"]]
    assert [row[:2] for row in opened.cells("#duplicates")] == duplicates


def test_what_would_have_been_given_away_is_told_with_rows_that_would_have(
    opened: WatchedPage, report: dict[str, Any]
) -> None:
    given_away = [[name, f"{rows:,}"] for name, rows in report["contaminated"].items()]
    assert [row[:2] for row in opened.cells("#contaminated")] == given_away
    assert sum(report["contaminated"].values()) == sum(
        rows
        for rule, rows in report["rules"]["dropped"].items()
        if rule in ("duplicates.evaluation", "duplicates.test_split")
    )
    for n, ending in ((0, "of evaluation file 1"), (2, "which is in the test split")):
        summaries = opened.texts(f"#contaminated tr >> nth={n + 1} >> summary")
        assert summaries
        assert [one for one in summaries if not one.endswith(ending)] == []


def test_every_chart_is_drawn_to_scale(opened: WatchedPage, report: dict[str, Any]) -> None:
    titles = opened.texts(".chart h2")
    assert set(CHARTS) <= set(titles)
    for title, values in CHARTS.items():
        counts = list(values(report).values())
        bars = opened.page.locator(f".chart:has(h2:text-is('{title}')) rect").all()
        widths = [(bar.bounding_box() or {"width": 0.0})["width"] for bar in bars]
        assert len(widths) == len(counts), title
        longest = max(widths)
        assert longest > 50, title
        for width, count in zip(widths, counts, strict=True):
            assert abs(width - longest * count / max(counts)) <= 1, title


def test_samples_are_folded_away_until_somebody_asks(opened: WatchedPage) -> None:
    sample = opened.page.locator("details").first
    assert not sample.locator("div").is_visible()

    sample.locator("summary").click()

    assert sample.locator("div").is_visible()


def test_there_is_something_to_see(opened: WatchedPage, browser: Browser) -> None:
    seen = looks(browser, opened.page.screenshot())
    blank = browser.new_page()
    empty = looks(browser, blank.screenshot())
    blank.close()

    assert empty == {"colours": 1, "background": 1}
    assert seen["colours"] > 20
    assert 0.5 < seen["background"] < 0.99
