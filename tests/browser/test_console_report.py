"""The report of a dataset in the console, and what became of a row of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from modelmill.data_prep.v1.data_prep_service_pb2 import RowProvenance
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_checks import PHONE_WIDTH, serious_findings
from tests.browser.console_place import complaints, go_to, open_place, without_reloads
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

MOST_REQUESTS = 5
ROW = {"messages": [{"role": "user", "content": HOSTILE[0]}], "row": 7}


@pytest.fixture(scope="module")
def dataset(gateway: LiveGateway, folder: Path) -> str:
    """One with the report that data-prep wrote of hostile rows."""
    dataset_id = gateway.make_dataset({"train": 400, "valid": 50, "test": 50})
    gateway.house.data_prep.reports[dataset_id] = (folder / "report.json").read_bytes()
    return dataset_id


def table(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=name, exact=True).get_by_role("table")


def test_the_report_stands_on_the_page_as_text(
    watched: WatchedPage, gateway: LiveGateway, dataset: str, report: dict[str, Any]
):
    without_reloads(watched.page)
    page = open_place(watched, gateway, "/access", gateway.token())
    watched.requests.clear()
    go_to(page, f"/datasets/{dataset}")
    for name, stage in report["stages"].items():
        row = table(page, "Rows by stage").get_by_role("row").filter(has_text=name).first
        expect(row).to_contain_text(f"{stage['rows_in']:,}")
    removed = table(page, "Removed rows, by outcome and rule")
    for outcome, rules in report["rules"].items():
        for rule, rows in rules.items():
            found = removed.get_by_role("row").filter(has_text=rule).filter(has_text=outcome)
            expect(found.first).to_contain_text(f"{rows:,}")
    expect(table(page, "Languages").locator("tbody tr")).to_have_count(len(report["languages"]))
    for summary in removed.locator("summary").all():
        summary.click()
    expect(removed).to_contain_text(HOSTILE[1])

    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []
    asked = [each for each in watched.requests if "/v1/" in each]
    assert 0 < len(asked) <= MOST_REQUESTS


def test_a_sample_of_the_report_leads_to_what_became_of_the_row(
    watched: WatchedPage, gateway: LiveGateway, dataset: str, report: dict[str, Any]
):
    rule = next(iter(report["rules"]["dropped"]))
    line = report["samples"][rule][0]["line"]
    page = open_place(watched, gateway, f"/datasets/{dataset}", gateway.token())
    removed = table(page, "Removed rows, by outcome and rule")
    row = removed.get_by_role("row").filter(has=page.get_by_role("rowheader", name=rule))
    row.locator("summary").first.click()
    row.get_by_role("link", name=f"line {line:,}", exact=True).first.click()

    expect(page.get_by_label("Line of the source file, from 1")).to_have_value(str(line))
    expect(table(page, "What became of a row")).to_be_visible()
    assert gateway.house.data_prep.rows_explained[-1].line == line


def test_a_row_tells_steps_rule_place_and_every_row_made_from_it(
    watched: WatchedPage, gateway: LiveGateway, dataset: str
):
    gateway.house.data_prep.provenance = [
        RowProvenance(
            **{"line": 7, "outcome": "kept", "split": "train", "position": 11},
            **{"changes": ["spaces@1", "markup@1"], "row_json": json.dumps(ROW)},
        ),
        RowProvenance(
            **{"line": 7, "outcome": "dropped", "rule": "duplicates.near"},
            **{"detail": f"says what line 3 says {HOSTILE[1]}", "made_by": "synonyms@1"},
        ),
    ]
    page = open_place(watched, gateway, f"/datasets/{dataset}", gateway.token())
    page.get_by_label("Line of the source file, from 1").fill("7")
    page.get_by_role("button", name="Show what became of it").click()

    rows = table(page, "What became of a row").locator("tbody tr")
    expect(rows).to_have_count(2)
    for text in ("kept", "spaces@1, markup@1", "as given", "train, row 12", HOSTILE[0]):
        expect(rows.nth(0)).to_contain_text(text)
    for text in ("dropped", "duplicates.near: says what line 3 says", HOSTILE[1], "synonyms@1"):
        expect(rows.nth(1)).to_contain_text(text)
    assert page.url.endswith("?line=7")
    assert page.evaluate("window.ran") is None
    gateway.house.data_prep.provenance = []


def test_a_row_of_one_of_several_files_is_asked_of_that_file(
    watched: WatchedPage, gateway: LiveGateway
):
    dataset = gateway.make_dataset({"train": 9})
    sample = {"line": 2 * 10**12 + 7, "text": "a", "detail": None}
    gateway.house.data_prep.reports[dataset] = json.dumps(
        {"rules": {"dropped": {"filter.x": 1}}, "samples": {"filter.x": [sample]}}
    ).encode()

    def of_two_files(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(json={**answer.json(), "file_ids": ["file-a", "file-b"]})

    watched.page.route(f"**/v1/datasets/{dataset}", of_two_files)
    page = open_place(watched, gateway, f"/datasets/{dataset}", gateway.token())
    page.get_by_text("Show 1", exact=True).click()
    page.get_by_role("link", name="line 7 of file 2").click()

    expect(page.get_by_role("combobox", name="File")).to_have_value("file-b")
    expect(table(page, "What became of a row")).to_be_visible()
    asked = gateway.house.data_prep.rows_explained[-1]
    assert (asked.line, asked.file_id) == (7, "file-b")


def test_a_line_that_is_not_there_is_told_in_the_words_of_the_api(
    watched: WatchedPage, gateway: LiveGateway, dataset: str
):
    place = f"/datasets/{dataset}?line=0"
    page = open_place(watched, gateway, place, gateway.token())

    expect(page.get_by_role("alert")).to_contain_text("line must be from 1")


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_a_report_fits_a_phone_without_a_serious_finding(
    browser: Browser, gateway: LiveGateway, dataset: str, language: str
):
    size: Any = {"width": PHONE_WIDTH, "height": 800}
    page = browser.new_page(locale=language, viewport=size, bypass_csp=True)
    try:
        place = f"/datasets/{dataset}?line=7"
        open_place(WatchedPage(page), gateway, place, gateway.token())
        expect(page.locator("#duplicates")).to_be_visible()

        assert serious_findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH
    finally:
        page.close()
