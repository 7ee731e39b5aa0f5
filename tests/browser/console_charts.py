"""Charts of a job's page in the console, and the figures that they are drawn from."""

from pathlib import Path

from playwright.sync_api import Locator, Page

COLUMNS = ("step", "learning_rate", "loss", "tokens_per_second")


def chart(page: Page, title: str) -> Locator:
    """The chart of that title."""
    return page.get_by_role("figure", name=title)


def figures_shown(page: Page, button: str = "Download figures (CSV)") -> list[list[float]]:
    """All that the page has drawn, by step: the figures in the order of their names."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    head, *rows = Path(download.value.path()).read_text().splitlines()
    assert head == ",".join(COLUMNS)
    return [[float(each) for each in row.split(",")] for row in rows]
