"""Checkpoints of a training in the console: states to go on from, then the model alone."""

from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_PAUSED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    Checkpoint,
    JobResult,
)
from playwright.sync_api import Locator, Page, expect

from tests.browser.console_place import complaints, open_place
from tests.browser.console_trainings import running_training
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

BEFORE, NEWEST = (Checkpoint(digest=f"sha256:{n}" + "0" * 63, step=n) for n in (5, 9))


def checkpoints(page: Page) -> Locator:
    return page.get_by_role("region", name="Checkpoints", exact=True)


def open_job(watched: WatchedPage, gateway: LiveGateway, job_id: str) -> Page:
    return open_place(watched, gateway, f"/jobs/{job_id}", gateway.token())


def test_a_paused_training_shows_what_it_goes_on_from_newest_first(
    watched: WatchedPage, gateway: LiveGateway
):
    job_id = running_training(gateway)
    saved = {"checkpoint": NEWEST, "checkpoint_before": BEFORE}
    gateway.say_state(job_id, JOB_STATUS_PAUSED, **saved)
    page = open_job(watched, gateway, job_id)

    rows = checkpoints(page).locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0).get_by_role("rowheader")).to_have_text("9")
    # As the helper reports it: 3 by the number of the step.
    expect(rows.nth(0)).to_contain_text("0.3333")
    expect(rows.nth(1)).to_contain_text("0.6")
    expect(rows.nth(0)).to_contain_text("not known")
    expect(checkpoints(page).get_by_role("link")).to_have_count(0)
    assert complaints(watched) == []


def test_a_training_that_succeeded_shows_its_model_alone(
    watched: WatchedPage, gateway: LiveGateway
):
    job_id = running_training(gateway)
    made = JobResult(digest=f"sha256:{'7' * 64}", version_id="mv-tuned")
    made.summary.update({"best_step": 8, "valid_loss": 1.25})
    saved = {"checkpoint": NEWEST, "checkpoint_before": BEFORE}
    gateway.say_state(job_id, JOB_STATUS_SUCCEEDED, result=made, **saved)
    page = open_job(watched, gateway, job_id)

    rows = checkpoints(page).locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.get_by_role("rowheader")).to_have_text("8")
    expect(rows).to_contain_text("1.25")
    expect(rows.get_by_role("link", name="mv-tuned")).to_be_visible()


def test_before_the_first_one_nobody_asks_for_any(watched: WatchedPage, gateway: LiveGateway):
    job_id = gateway.order_training()
    gateway.say_state(job_id, JOB_STATUS_RUNNING)
    page = open_job(watched, gateway, job_id)

    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(checkpoints(page)).to_have_count(0)
    assert not [each for each in watched.requests if each.endswith("/checkpoints")]
