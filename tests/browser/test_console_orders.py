"""Evaluations and builds ordered by forms of the console, with what they would take beside them."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import ask, complaints, go_to, open_place, without_reloads
from tests.browser.console_texts import LANGUAGES, ConsoleTexts
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

MOST_REQUESTS = 5
KINDS = ("evaluate", "optimize")


def form_of(watched: WatchedPage, gateway: LiveGateway, kind: str, **query: str) -> Page:
    asked = "".join(f"&{name}={value}" for name, value in query.items())
    return open_place(watched, gateway, f"/jobs/new?kind={kind}{asked}", gateway.token())


def estimate_of(page: Page) -> Locator:
    """What stands beside the form, once it is there."""
    found = page.get_by_role("region", name="What it would take").get_by_role("status")
    expect(found).to_have_attribute("aria-busy", "false")
    return found


def job_of(page: Page, gateway: LiveGateway) -> dict[str, Any]:
    """The job that was ordered, whose page opens."""
    expect(page).to_have_url(re.compile(r"#/jobs/(?!new)"))
    found: dict[str, Any] = ask(
        gateway, gateway.token(), "GET", f"/v1/jobs/{page.url.rpartition('/')[2]}"
    )
    return found


def dataset_of(gateway: LiveGateway) -> str:
    return gateway.make_dataset({"rows_in": 900, "train": 704, "valid": 88, "test": 88})


def test_an_evaluation_is_ordered_with_its_rows_memory_and_why_time_is_not_known(
    watched: WatchedPage, gateway: LiveGateway
):
    page = form_of(watched, gateway, "evaluate", model="default")
    expect(estimate_of(page)).to_contain_text("Choose a model and a dataset")
    dataset = dataset_of(gateway)
    page.reload()
    page.get_by_label("Dataset", exact=True).select_option(dataset)

    told = estimate_of(page)
    for text in ("88", "not known", "of 4.3 GB", "time is not known: no evaluation"):
        expect(told).to_contain_text(text)
    page.get_by_role("button", name="Order evaluation").click()
    job = job_of(page, gateway)
    assert job["kind"] == "evaluate"
    assert (job["spec"]["model"], job["spec"]["dataset_id"]) == ("default", dataset)
    assert complaints(watched) == []


def test_a_search_is_a_build_with_an_objective_and_is_told_apart(
    watched: WatchedPage, gateway: LiveGateway
):
    page = form_of(watched, gateway, "optimize", model="default")
    expect(estimate_of(page)).to_contain_text("openvino-int8")
    with page.expect_request("**/v1/optimizations/estimate") as sent:
        page.get_by_label("p95_ms").fill("200")

    assert sent.value.post_data_json == {"model": "default", "objective": {"p95_ms": 200}}
    told = page.get_by_role("region", name="What it would take").get_by_role("status")
    expect(told).to_contain_text("one that a search finds")
    expect(told).to_contain_text("30 min")
    page.get_by_role("button", name="Order build").click()
    assert job_of(page, gateway)["kind"] == "optimize"


def test_what_would_be_refused_is_said_beside_the_form_as_text(
    watched: WatchedPage, gateway: LiveGateway
):
    def refuse(route: Route) -> None:
        route.fulfill(status=400, json={"error": {"message": HOSTILE[0]}})

    watched.page.route("**/v1/optimizations/estimate", refuse)
    page = form_of(watched, gateway, "optimize", model="default")

    expect(estimate_of(page)).to_contain_text(f"It would be refused:{HOSTILE[0]}")
    assert page.evaluate("window.ran") is None


def test_the_request_beside_a_form_is_the_one_that_is_sent(
    watched: WatchedPage, gateway: LiveGateway
):
    page = form_of(watched, gateway, "evaluate", model="default", dataset="ds-x")
    page.get_by_label("Metrics").fill("accuracy, perplexity")

    expect(page.get_by_label("curl", exact=True)).to_contain_text("/v1/evaluations'")
    expect(page.get_by_label("curl", exact=True)).to_contain_text('"perplexity"')
    python = page.get_by_label("Python", exact=True)
    expect(python).to_contain_text("client.evaluations.create(")
    expect(python).to_contain_text('measures=["accuracy", "perplexity"]')


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_forms_are_in_the_language_of_the_reader_and_ask_at_most_five_times(
    browser: Browser, gateway: LiveGateway, language: str, kind: str
):
    page = browser.new_page(locale=LANGUAGES[language])
    try:
        say, watched = ConsoleTexts(language), WatchedPage(without_reloads(page))
        open_place(watched, gateway, "/jobs", gateway.token())
        watched.requests.clear()
        page.get_by_role("button", name=say(f"order.{kind}"), exact=True).click()
        expect(page.get_by_role("heading", name=say(f"order.{kind}"))).to_be_visible()
        expect(page.get_by_label(say("order.field.model")).first).to_be_visible()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        asked = [each for each in watched.requests if "/v1/" in each or "openapi" in each]
        hints, english = page.locator(".field small[id$=-help]"), page.locator("small[lang=en]")

        assert 0 < len(asked) <= MOST_REQUESTS, asked
        assert hints.count() > 5
        assert english.count() == (hints.count() if language == "en" else 0)
        go_to(page, "/models/mv-build")
        expect(page.get_by_role("button", name=say(f"order.{kind}"), exact=True)).to_be_visible()
    finally:
        page.close()
