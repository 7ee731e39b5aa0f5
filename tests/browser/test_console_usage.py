"""Usage in the console: the sums of the API, by the days of the browser's time zone."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import ask, complaints, go_to, open_place, record_usage
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

FAR = "Asia/Shanghai"
DAY = 86400


@pytest.fixture(params=["UTC", FAR])
def zone(request: pytest.FixtureRequest) -> str:
    """Of the browser."""
    return str(request.param)


@pytest.fixture
def there(browser: Browser, zone: str) -> Iterator[WatchedPage]:
    """A page in that zone."""
    page = browser.new_page(timezone_id=zone)
    yield WatchedPage(page)
    page.close()


def midnight(zone: str) -> float:
    now = datetime.now(ZoneInfo(zone))
    return now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def rows(page: Page, region: str) -> list[list[str]]:
    """A table's rows, without its bars."""
    body = page.get_by_role("region", name=region).locator("tbody tr")
    return [row.locator("th, td").all_inner_texts()[:-1] for row in body.all()]


def test_days_are_those_of_the_time_zone_and_sums_those_of_the_api(
    there: WatchedPage, gateway: LiveGateway, zone: str
):
    tenant = f"used-{zone.lower().replace('/', '-')}"
    token = gateway.token(tenant=tenant)
    key = ask(gateway, token, "POST", "/v1/keys", name=HOSTILE[1])["id"]
    spent = {"prompt_tokens": 1000, "completion_tokens": 20, "micros": 1_500_000}
    record_usage(gateway, tenant, midnight(zone), version_id="mv-build", key_id=key, **spent)
    record_usage(gateway, tenant, midnight(zone) - 1, version_id="mv-base", **spent)
    page = open_place(there, gateway, "/usage", token)

    days = rows(page, "By day")
    assert [day[1:] for day in days] == [["0", "0", "0", "0.00"]] * 5 + [
        ["1", "1,000", "20", "1.50"]
    ] * 2
    first = datetime.now(ZoneInfo(zone)) - timedelta(days=6)
    assert days[0][0] == f"{first:%b} {first.day}, {first.year}"
    assert sorted(row[0] for row in rows(page, "By model")) == ["mv-base", "mv-build"]
    keys = page.get_by_role("region", name="By API key").locator("tbody th")
    expect(keys).to_have_text(["no key (a token)", HOSTILE[1]])
    summed = ask(gateway, token, "GET", "/v1/usage")["data"]
    results = [result for bucket in summed for result in bucket["results"]]
    assert sum(each["input_tokens"] for each in results) == 2000
    expect(page.locator(".facts")).to_contain_text("2,000")
    assert page.evaluate("window.ran") is None
    assert complaints(there) == []


def test_a_longer_period_has_older_days_and_the_bars_show_what_is_chosen(
    watched: WatchedPage, gateway: LiveGateway
):
    now = time.time()
    record_usage(gateway, "long", now - 20 * DAY, version_id="mv-base", prompt_tokens=100)
    record_usage(gateway, "long", now, version_id="mv-build", prompt_tokens=50)
    page = open_place(watched, gateway, "/usage", gateway.token(tenant="long"))
    assert len(rows(page, "By model")) == 1

    page.get_by_label("Period").select_option("28")
    expect(page.get_by_role("region", name="By day").locator("tbody tr")).to_have_count(28)
    page.get_by_label("What the bars show").select_option("input_tokens")

    bars = page.get_by_role("region", name="By model").locator("rect")
    assert [bar.get_attribute("width") for bar in bars.all()] == ["100%", "50%"]
    go_to(page, "/usage?days=999")
    assert len(rows(page, "By day")) == 7


def test_who_may_not_see_usage_is_told_why(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/usage", gateway.token(scope="keys"))

    expect(page.get_by_role("alert")).to_contain_text("scope usage")
    expect(page.get_by_role("alert")).to_contain_text("Sign in with a key that has this scope")
