"""Trainings side by side in the console: linked, with differences, results and losses."""

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JobError
from modelmill.registry.v1.model_events_pb2 import DatasetRetired
from modelmill_bus.subjects import DATASET_RETIRED
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_charts import chart
from tests.browser.console_place import complaints, go_to, open_place
from tests.browser.console_trainings import spec_of, trained
from tests.browser.live_gateway import TENANT, LiveGateway
from tests.browser.watched_page import WatchedPage

STEPS = 5_000


@pytest.fixture(scope="module")
def kept(gateway: LiveGateway) -> str:
    """A dataset; its id."""
    return gateway.make_dataset({"train": 704, "test": 88})


@pytest.fixture(scope="module")
def done(gateway: LiveGateway, kept: str) -> str:
    """A training that has succeeded."""
    return trained(gateway, spec_of("words", kept, 0.001), STEPS)


@pytest.fixture(scope="module")
def failed(gateway: LiveGateway) -> str:
    """One that has failed, with texts that run where they are HTML, and a dataset that is gone."""
    deleted = gateway.make_dataset({"train": 9})
    job_id = gateway.submit_training(spec_of(HOSTILE[0], deleted, 0.002))
    error = JobError(code="x", message=HOSTILE[1], remedy=HOSTILE[2])
    gateway.say_state(job_id, JOB_STATUS_FAILED, error=error)
    gone = DatasetRetired(dataset_id=deleted, tenant=TENANT)
    gateway.run(gateway.house.bus.publish(DATASET_RETIRED, gone))
    return job_id


def table(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True).get_by_role("table")


def test_a_link_shows_what_differs_the_data_and_sampled_losses_and_every_text_as_text(
    watched: WatchedPage, gateway: LiveGateway, done: str, failed: str
):
    page = open_place(watched, gateway, f"/jobs/compare?ids={failed},{done}", gateway.token())

    settings = table(page, "Settings").get_by_role("row")
    expect(settings.filter(has_text="hyper_parameters.learning_rate")).to_contain_text("≠")
    expect(settings.filter(has_text="hyper_parameters.seed")).to_have_count(0)
    page.get_by_label("Show settings that are alike, too").check()
    expect(settings.filter(has_text="hyper_parameters.seed")).to_contain_text("7")
    facts = table(page, "Trainings and their data")
    expect(facts).to_contain_text("words (deleted)")
    expect(facts).to_contain_text("train 704, test 88")
    expect(facts.get_by_text(HOSTILE[1], exact=True)).to_be_visible()
    expect(chart(page, "Loss")).to_contain_text("of 5,000 points, with every extreme")
    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []


def test_steps_are_shown_exactly_and_the_chart_stays(
    watched: WatchedPage, gateway: LiveGateway, done: str, failed: str
):
    page = open_place(watched, gateway, f"/jobs/compare?ids={done},{failed}", gateway.token())
    page.get_by_label("From step").fill("101")
    page.get_by_label("To step").fill("120")
    page.get_by_role("button", name="Show these steps").click()

    expect(chart(page, "Loss")).to_have_attribute("data-points", "20")


def test_one_alone_names_the_next_step_and_leads_there(
    watched: WatchedPage, gateway: LiveGateway, done: str, failed: str
):
    page = open_place(watched, gateway, f"/jobs/{done}", gateway.token())
    page.get_by_role("button", name="Compare with another").click()
    expect(page.get_by_text("Choose two or more trainings")).to_be_visible()

    page.get_by_label("Add a training").select_option(failed)
    expect(table(page, "Settings")).to_contain_text("hyper_parameters.learning_rate")
    page.get_by_role("button", name=f"Remove {done}").click()

    expect(page.get_by_text("Choose two or more trainings")).to_be_visible()
    go_to(page, "/jobs/compare?ids=ftjob-unknown")
    expect(page.get_by_role("alert")).to_contain_text("ftjob-unknown")
