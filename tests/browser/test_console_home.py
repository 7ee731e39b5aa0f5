"""Home in the console: how fast what is served answers, how often it fails, what is not known."""

import time

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.console_place import complaints, open_place, record_usage, without_reloads
from tests.browser.console_texts import LANGUAGES, ConsoleTexts
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

USAGE = "**/v1/usage?*"
MOST_REQUESTS = 5


def served(page: Page) -> Locator:
    return page.get_by_role("region", name="Served")


def default_row(page: Page) -> Locator:
    head = page.get_by_role("rowheader", name="default", exact=True)
    return served(page).get_by_role("row").filter(has=head)


def home_of(watched: WatchedPage, gateway: LiveGateway, tenant: str, **claims: str) -> Page:
    return open_place(watched, gateway, "/", gateway.token(tenant=tenant, **claims))


def record_answers(gateway: LiveGateway, tenant: str) -> None:
    """Four requests of now, one of which failed half-way and one before any version began."""
    now, answered = time.time(), {"first_token_seconds": 0.25, "total_seconds": 2.25}
    for reason in ("stop", "stop", "error"):
        told = {"version_id": "mv-build", "finish_reason": reason, "completion_tokens": 21}
        record_usage(gateway, tenant, now, **told, **answered)
    record_usage(gateway, tenant, now, finish_reason="error", total_seconds=3.0)
    # Three days ago it was slow, which says nothing of now.
    old = {"version_id": "mv-build", "first_token_seconds": 90.0, "total_seconds": 99.0}
    record_usage(gateway, tenant, now - 3 * 86_400, finish_reason="stop", **old)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_served_tells_its_speed_and_failures_of_these_days(
    watched: WatchedPage, gateway: LiveGateway, language: str
):
    tenant = f"timed-{language}"
    record_answers(gateway, tenant)
    page = home_of(watched, gateway, tenant)
    page.locator("select").first.select_option(language)
    say = ConsoleTexts(language)
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="default"))

    first, speed, errors = (row.get_by_role("cell").nth(n) for n in (4, 5, 6))
    expect(first).to_contain_text("250")
    expect(speed).to_have_text("10")
    expect(errors).to_have_text(say("home.errors_of", share="33%", requests=3))
    expect(page.get_by_text(say("home.unanswered", requests=1))).to_be_visible()
    expect(page.get_by_text(say("home.figures"))).to_be_visible()
    assert complaints(watched) == []


def test_a_version_that_was_asked_nothing_has_no_figures_but_says_so(
    watched: WatchedPage, gateway: LiveGateway
):
    page = home_of(watched, gateway, "unasked")

    expect(default_row(page)).to_contain_text("not known: nothing was asked of it since yesterday")
    expect(served(page).get_by_text("failed before a version")).to_have_count(0)


def test_without_the_scope_for_usage_the_figures_are_not_known(
    watched: WatchedPage, gateway: LiveGateway
):
    record_answers(gateway, "unseen")
    page = home_of(watched, gateway, "unseen", scope="models:read jobs")

    expect(default_row(page)).to_contain_text("not known")
    expect(served(page)).to_contain_text("the section on usage says why")
    expect(page.get_by_role("region", name="Usage in the last")).to_contain_text("scope usage")


def test_figures_that_were_shown_stay_while_they_cannot_be_asked_for_again(
    watched: WatchedPage, gateway: LiveGateway
):
    def away(route: Route) -> None:
        route.fulfill(status=503, json={"error": {"message": "records are being read"}})

    page = watched.page
    page.clock.install()
    record_answers(gateway, "stays")
    home_of(watched, gateway, "stays")
    expect(default_row(page)).to_contain_text("33%")

    page.route(USAGE, away)
    page.clock.run_for(61_000)

    expect(page.get_by_text("records are being read").first).to_be_visible()
    expect(default_row(page)).to_contain_text("33%")


def test_home_asks_at_most_five_times(watched: WatchedPage, gateway: LiveGateway):
    without_reloads(watched.page)
    page = open_place(watched, gateway, "/playground", gateway.token(tenant="counted"))
    watched.requests.clear()
    page.get_by_role("link", name="Home").first.click()
    expect(default_row(page)).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)

    asked = [each for each in watched.requests if "/v1/" in each]
    assert 0 < len(asked) <= MOST_REQUESTS, asked
