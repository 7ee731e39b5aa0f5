"""Pages of the console with something to show: for everybody, on a phone, and with few requests."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import HOSTILE
from tests.browser.console_checks import PHONE_WIDTH, serious_findings
from tests.browser.console_datasets import datasets_that_differ
from tests.browser.console_evaluations import evaluate, evaluated_row
from tests.browser.console_forms import say_forms, search
from tests.browser.console_place import (
    OPERATOR,
    OPERATOR_PLACES,
    ask,
    go_to,
    open_place,
    record_usage,
    without_reloads,
)
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

TENANT = "filled"
MOST_REQUESTS = 5
PLACES = ("/keys", "/keys/new", "/keys/{key}", "/usage?days=28", "/policies", "/audit", "/budget")


@dataclass(frozen=True)
class Visit:
    """Who opens which pages."""

    credential: str
    places: tuple[str, ...]


@pytest.fixture(scope="module")
def key(gateway: LiveGateway) -> str:
    """The last key of a tenant that has some of everything; its id."""
    token = gateway.token(tenant=TENANT)
    limits = {"tokens": 10**9, "money": "12.50", "period": "month"}
    made = ""
    for name in (*HOSTILE, "x" * 100):
        made = ask(gateway, token, "POST", "/v1/keys", name=name[:100], limits=limits)["id"]
        record_usage(gateway, TENANT, time.time(), key_id=made, version_id="mv-build", micros=7)
    return made


@pytest.fixture(scope="module")
def work(gateway: LiveGateway) -> tuple[str, ...]:
    """Places of trainings, an evaluation, a search, a model's forms and compared datasets."""
    runs = [gateway.order_training() for _ in range(2)]
    for job_id in runs:
        gateway.save_losses(job_id, [3.0, 2.0, 1.0])
    texts = (*HOSTILE, "x" * 2_000)
    found = [evaluated_row(n, text, right=n % 2 == 0) for n, text in enumerate(texts)]
    datasets = ",".join(datasets_that_differ(gateway, texts))
    return (
        f"/jobs/compare?ids={','.join(runs)}",
        f"/jobs/{evaluate(gateway, found)}",
        f"/jobs/{search(gateway)}",
        f"/models/{say_forms(gateway)}",
        f"/datasets/compare?ids={datasets}",
    )


@pytest.fixture(params=["tenant", "operator", "trainer"])
def visit(
    request: pytest.FixtureRequest, gateway: LiveGateway, key: str, work: tuple[str, ...]
) -> Visit:
    """Of the tenant's own people, of an operator, and of who trains."""
    if request.param == "trainer":
        return Visit(gateway.token(), work)
    if request.param == "operator":
        return Visit(gateway.token(**OPERATOR), (*OPERATOR_PLACES, f"/tenants/{TENANT}"))
    return Visit(gateway.token(tenant=TENANT), tuple(place.format(key=key) for place in PLACES))


@pytest.fixture
def unwatched(browser: Browser) -> Iterator[Page]:
    """A page of a phone, where a checker may do what the policy forbids."""
    page = browser.new_page(
        viewport={"width": PHONE_WIDTH, "height": 800}, color_scheme="dark", bypass_csp=True
    )
    yield page
    page.close()


def test_filled_pages_have_no_serious_finding_and_fit_a_phone(
    unwatched: Page, gateway: LiveGateway, visit: Visit
):
    page = open_place(WatchedPage(unwatched), gateway, "/playground", visit.credential)
    findings = []
    for place in visit.places:
        go_to(page, place)
        findings += serious_findings(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH, place
    assert findings == []


def test_a_page_asks_at_most_five_times_when_it_opens(
    watched: WatchedPage, gateway: LiveGateway, visit: Visit
):
    without_reloads(watched.page)
    page = open_place(watched, gateway, "/playground", visit.credential)
    seen = 0
    for place in visit.places:
        before = len(watched.requests)
        go_to(page, place)
        asked = [each for each in watched.requests[before:] if "/v1/" in each]
        assert len(asked) <= MOST_REQUESTS, asked
        seen += len(asked)
    assert seen >= len(visit.places)
