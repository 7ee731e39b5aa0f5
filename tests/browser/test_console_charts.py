"""Charts of long jobs in the console: few points with every extreme, exact ones of a stretch."""

import csv
from pathlib import Path

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING
from playwright.sync_api import Locator, Page, expect

from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

MANY, SPIKE = 100_000, 61_803
DRAWN = 2_000


@pytest.fixture
def long_job(watched: WatchedPage, gateway: LiveGateway) -> WatchedPage:
    """The page of a job of a hundred thousand steps, with one loss far above all others."""
    losses = [3.0 - 2.5 * step / MANY for step in range(MANY)]
    losses[SPIKE - 1] = 50.0
    job_id = gateway.order_training()
    gateway.say_state(job_id, JOB_STATUS_RUNNING)
    gateway.save_losses(job_id, losses)
    address = f"{gateway.url}/console/index.html#token={gateway.token()}"
    watched.open_address(address, wait_until="load")
    watched.page.evaluate("place => { location.hash = place }", f"/jobs/{job_id}")
    expect(loss_chart(watched.page)).to_be_visible()
    return watched


def loss_chart(page: Page) -> Locator:
    return page.get_by_role("figure", name="Loss")


def points_drawn(page: Page) -> int:
    return int(loss_chart(page).get_attribute("data-points") or "")


def test_a_job_of_a_hundred_thousand_steps_is_drawn_in_two_thousand_points(long_job: WatchedPage):
    page = long_job.page

    expect(loss_chart(page)).to_contain_text("of 100,000 points, with every extreme")
    assert 0 < points_drawn(page) <= DRAWN
    assert long_job.complaints == []


def test_a_stretch_that_is_drawn_over_has_its_exact_points(long_job: WatchedPage):
    page = long_job.page
    box = loss_chart(page).locator(".u-over").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.6180, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6270, y, steps=5)
    page.mouse.up()

    expect(page.get_by_role("button", name="Show all steps")).to_be_visible()
    expect(loss_chart(page)).not_to_contain_text("with every extreme")
    first = int(page.get_by_label("From step").input_value())
    last = int(page.get_by_label("To step").input_value())
    assert 0 < last - first < DRAWN
    assert points_drawn(page) == last - first + 1


def test_a_stretch_is_chosen_by_keyboard_and_all_steps_come_back(long_job: WatchedPage):
    page = long_job.page
    page.get_by_label("From step").fill(str(SPIKE - 10))
    page.get_by_label("To step").fill(str(SPIKE + 9))
    page.get_by_label("To step").press("Enter")
    expect(loss_chart(page)).to_have_attribute("data-points", "20")
    expect(loss_chart(page)).to_contain_text("20 points; last:")

    page.get_by_role("button", name="Show all steps").press("Enter")

    expect(loss_chart(page)).to_contain_text("of 100,000 points")


def test_steps_that_nothing_was_measured_at_say_so(long_job: WatchedPage):
    page = long_job.page
    page.get_by_label("From step").fill(str(MANY + 1))
    page.get_by_label("From step").press("Enter")

    expect(page.get_by_text("There are no figures of these steps.")).to_be_visible()


def test_the_file_has_every_point_also_those_that_are_not_drawn(long_job: WatchedPage):
    with long_job.page.expect_download() as download:
        long_job.page.get_by_role("button", name="Download figures").click()

    with Path(download.value.path()).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == MANY
    assert float(rows[SPIKE - 1]["loss"]) == 50.0


def test_a_running_job_of_more_steps_than_are_held_loses_none(
    watched: WatchedPage, gateway: LiveGateway
):
    job_id = gateway.order_training()
    gateway.say_state(job_id, JOB_STATUS_RUNNING)
    gateway.say_step(job_id, 1, loss=2.0)
    address = f"{gateway.url}/console/index.html#token={gateway.token()}"
    watched.open_address(address, wait_until="load")
    watched.page.evaluate("place => { location.hash = place }", f"/jobs/{job_id}")
    expect(loss_chart(watched.page)).to_have_attribute("data-points", "1")

    for step in range(2, 1_203):
        gateway.say_step(job_id, step, loss=2.0)

    expect(loss_chart(watched.page)).to_have_attribute("data-points", "1202")
    expect(watched.page.locator(".log li")).to_have_count(200)
