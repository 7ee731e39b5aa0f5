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
ORDERED = re.compile("/v1/evaluations$")


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


def group(page: Page, name: str) -> Locator:
    """Opened, as somebody who fills it in does."""
    summary = page.get_by_text(name, exact=True)
    summary.click()
    return page.locator("details").filter(has=summary)


def test_an_evaluation_takes_slices_protections_tasks_and_their_suite(
    watched: WatchedPage, gateway: LiveGateway
):
    page = form_of(watched, gateway, "evaluate", model="default", dataset="ds-x")
    slices, protected = group(page, "Slices"), group(page, "Protections")
    for by in ("script", "answer", "length"):
        slices.get_by_role("button", name="Add to Slices").click()
        slices.get_by_label("Groups by").last.fill(by)
    slices.get_by_label("Edges").last.fill("100, 500")
    slices.get_by_role("button", name="Remove 2 of Slices").click()
    protected.get_by_role("button", name="Add to Protections").click()
    protected.get_by_label("Protected metric").fill("accuracy")
    protected.get_by_label("Worst value").fill("0.6")
    tasks, suite = group(page, "Tasks"), group(page, "Suite of the tasks")
    tasks.get_by_role("button", name="Add to Tasks").click()
    tasks.get_by_label("Task in YAML").fill("task: a\noutput_type: b")
    tasks.get_by_label("Data files").fill("file-1")
    suite.get_by_label("Name").fill("own")
    suite.get_by_label("Licence").fill("MIT")

    with page.expect_request(ORDERED) as sent:
        page.get_by_role("button", name="Order evaluation").click()

    assert sent.value.post_data_json == {
        "model": "default",
        "dataset_id": "ds-x",
        "tasks": [{"config": "task: a\noutput_type: b", "data_file_ids": ["file-1"]}],
        "slices": [{"by": "script"}, {"by": "length", "edges": [100, 500]}],
        "protections": [{"measure": "accuracy", "worst": 0.6}],
        "suite": {"name": "own", "license": "MIT"},
    }


def test_what_is_wrong_in_a_list_of_objects_stands_beside_its_field(
    watched: WatchedPage, gateway: LiveGateway
):
    def refuse(route: Route) -> None:
        wrong = {"message": "slices.0.by is not known", "errors": ["slices.0.by is not known"]}
        route.fulfill(status=400, json={"error": wrong})

    watched.page.route(ORDERED, refuse)
    page = form_of(watched, gateway, "evaluate", model="default", dataset="ds-x")
    group(page, "Suite of the tasks").get_by_label("Name").fill("own")
    slices = group(page, "Slices")
    for _ in range(2):
        slices.get_by_role("button", name="Add to Slices").click()
    slices.get_by_role("button", name="Remove 1 of Slices").click()
    expect(slices.get_by_role("button", name="Add to Slices")).to_be_focused()
    slices.get_by_label("Edges").fill("1.5")
    page.get_by_role("button", name="Order evaluation").click()
    expect(page.locator(".error")).to_have_text(
        ["is required", "must be whole numbers, with commas between them", "is required"]
    )

    slices.get_by_label("Groups by").fill("colour")
    slices.get_by_label("Edges").fill("")
    page.get_by_label("Licence").fill("MIT")
    page.get_by_role("button", name="Order evaluation").click()

    expect(slices.locator(".error")).to_have_text("slices.0.by is not known")
    expect(slices.get_by_label("Groups by")).to_be_focused()


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
