"""What a training would take, beside the form that orders it in the console."""

from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobResult
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.console_place import open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage


@pytest.fixture
def form(watched: WatchedPage, gateway: LiveGateway) -> Page:
    """The form with a base model and a dataset."""
    dataset = gateway.make_dataset({"rows_in": 900, "train": 704, "valid": 88, "test": 88})
    place = f"/jobs/new?model=mv-base&dataset={dataset}"
    return open_place(watched, gateway, place, gateway.token())


def estimate_of(page: Page) -> Locator:
    """What stands beside the form, once it is there."""
    found = page.get_by_role("region", name="What it would take").get_by_role("status")
    expect(found).to_have_attribute("aria-busy", "false")
    return found


ESTIMATE = "**/v1/fine_tuning/jobs/estimate"
PAUSE_MS = 400
FRAMES_MS = 50
"""Within which the page takes in what was typed."""


def test_an_estimate_stands_beside_the_form_with_the_trainings_it_rests_on(
    form: Page, gateway: LiveGateway
):
    expect(estimate_of(form)).to_contain_text("8,000 (2 epochs, 20 steps of 8 rows)")
    expect(estimate_of(form)).to_contain_text("2.1 GB of 4.3 GB")

    job_id = gateway.order_training()
    result = JobResult(digest=f"sha256:{'7' * 64}")
    result.summary.update({"tokens_per_second": 100.0, "peak_memory_bytes": 7e8})
    gateway.say_state(job_id, JOB_STATUS_SUCCEEDED, result=result)
    form.reload()

    expect(estimate_of(form).get_by_role("link", name=job_id)).to_be_visible()
    expect(estimate_of(form)).to_contain_text("700 MB of 4.3 GB")
    form.get_by_label("Method").select_option("full")
    expect(estimate_of(form)).to_contain_text("By a rule")


def test_an_estimate_is_asked_for_once_a_moment_after_somebody_has_typed(form: Page):
    estimate_of(form)
    asked: list[Any] = []
    form.on("request", lambda each: asked.append(each) if "/estimate" in each.url else None)
    form.clock.install()
    form.clock.pause_at(form.evaluate("Date.now()") + 10_000)
    rank = form.get_by_label("lora_rank", exact=True)

    for digit in "128":
        rank.press_sequentially(digit)
        form.clock.run_for(PAUSE_MS - FRAMES_MS)
    assert asked == []

    with form.expect_response(ESTIMATE) as answered:
        form.clock.run_for(2 * FRAMES_MS)
    assert answered.value.request.post_data_json["hyperparameters"] == {"lora_rank": 128}
    form.clock.resume()
    estimate_of(form)
    assert len(asked) == 1


def test_a_refused_estimate_is_told_as_text_until_it_is_mended(form: Page):
    form.get_by_label("lora_rank", exact=True).fill("999")
    refused = form.get_by_text("It would be refused:")
    expect(refused).to_be_visible()
    expect(estimate_of(form)).to_contain_text("lora_rank must be at most 256")

    form.get_by_label("lora_rank", exact=True).fill("64")

    expect(refused).to_have_count(0)
    expect(estimate_of(form)).to_contain_text("8,000")


def test_nobody_asks_for_an_estimate_of_what_is_wrong(form: Page, watched: WatchedPage):
    estimate_of(form)
    watched.requests.clear()

    form.get_by_label("lora_rank", exact=True).fill("x")

    expect(estimate_of(form)).to_contain_text("Choose a base model and a dataset.")
    assert not [each for each in watched.requests if each.endswith("/estimate")]


def test_an_estimate_tells_what_is_not_known_and_why_it_would_wait(form: Page):
    def unknown(route: Route) -> None:
        found = route.fetch().json()
        names = ("train_rows", "n_epochs", "batch_size", "steps", "trained_tokens", "seconds")
        told = {"waiting_reason": "needs 9 GB", "notes": ["no rows <b>yet</b>"]}
        route.fulfill(json=found | dict.fromkeys(names) | told)

    form.route(ESTIMATE, unknown)
    form.reload()

    expect(estimate_of(form)).to_contain_text("It would wait: needs 9 GB")
    expect(estimate_of(form)).to_contain_text("no rows <b>yet</b>")
    expect(estimate_of(form).get_by_text("Trained tokens")).to_have_count(0)
