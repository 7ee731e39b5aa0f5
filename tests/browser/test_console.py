"""The web console in a browser, beside a gateway as it runs: what it shows, asks and runs."""

from pathlib import Path

import pytest
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_RUNNING,
    JobError,
)
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_checks import PHONE_WIDTH, serious_findings
from tests.browser.console_place import PLACES, REFUSED, complaints, go_to, settled
from tests.browser.live_gateway import BUILT, LiveGateway
from tests.browser.watched_page import WatchedPage

FIRST_VIEW_BYTES, ALL_BYTES = 200_000, 600_000


@pytest.fixture
def signed_in(watched: WatchedPage, gateway: LiveGateway) -> WatchedPage:
    """The console as `mill console` opens it."""
    open_console(watched, gateway, gateway.token())
    return watched


def open_console(watched: WatchedPage, gateway: LiveGateway, token: str = "") -> None:
    handed = f"/index.html#token={token}" if token else ""
    watched.open_address(f"{gateway.url}/console{handed}", wait_until="load")


def section(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def test_a_handed_token_is_in_no_request_and_in_no_address(
    signed_in: WatchedPage, gateway: LiveGateway
):
    page = signed_in.page
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()

    assert page.url == f"{gateway.url}/console/index.html#/"
    assert not [each for each in signed_in.requests if "token" in each]


def test_a_link_of_others_does_not_replace_who_is_signed_in(
    signed_in: WatchedPage, gateway: LiveGateway
):
    page = signed_in.page
    expect(page.get_by_text("acme · ada")).to_be_visible()

    page.goto("about:blank")
    page.goto(f"{gateway.url}/console/index.html#token={gateway.token(tenant='mallory')}")

    expect(page.get_by_text("acme · ada")).to_be_visible()


def test_home_tells_what_runs_what_failed_with_its_remedy_and_what_is_served(
    signed_in: WatchedPage, gateway: LiveGateway
):
    page = signed_in.page
    running, failed = gateway.order_training(), gateway.order_training()
    gateway.say_state(running, JOB_STATUS_RUNNING)
    gateway.say_step(running, 10, loss=2.5)
    error = JobError(code="too_few_rows", message="only 3 rows", remedy="Give at least 10 rows.")
    gateway.say_state(failed, JOB_STATUS_FAILED, error=error)
    page.reload()

    card = page.get_by_role("article", name=running)
    expect(card).to_contain_text("10/40 step")
    expect(card).to_contain_text("30 sec left")
    expect(page.get_by_role("article", name=failed)).to_contain_text("Give at least 10 rows.")
    expect(section(page, "Served")).to_contain_text("mv-build")

    gateway.say_step(running, 20, loss=2.0)
    expect(card).to_contain_text("20/40 step")
    assert complaints(signed_in) == []


def test_a_missing_scope_is_told_in_the_place_of_what_it_would_show(
    watched: WatchedPage, gateway: LiveGateway
):
    open_console(watched, gateway, gateway.token(scope="models:read"))

    page = watched.page
    expect(page.get_by_role("region", name="Running")).to_contain_text("scope jobs")
    expect(page.get_by_role("region", name="Served").first).to_contain_text("mv-build")


def test_texts_of_others_are_shown_as_text(signed_in: WatchedPage, gateway: LiveGateway):
    page = signed_in.page
    jobs = []
    for hostile in HOSTILE:
        jobs.append(gateway.order_training())
        error = JobError(code="x", message=hostile, remedy=hostile, log_tail=hostile)
        gateway.say_state(jobs[-1], JOB_STATUS_FAILED, error=error)
    page.reload()

    for job_id, hostile in list(zip(jobs, HOSTILE, strict=True))[-5:]:
        card = page.get_by_role("article", name=job_id)
        expect(card.get_by_text(hostile, exact=True).first).to_be_visible()
        card.locator("summary").click()
    assert page.evaluate("window.ran") is None
    assert page.locator("iframe, img, main script, main style").count() == 0
    assert complaints(signed_in) == []


def test_nothing_is_asked_of_another_host(signed_in: WatchedPage, gateway: LiveGateway):
    page = signed_in.page
    settled(page)

    assert [each for each in signed_in.requests if not each.startswith(gateway.url)] == []
    assert signed_in.complaints == []


def test_an_inline_script_would_be_stopped_and_noticed(
    signed_in: WatchedPage, gateway: LiveGateway
):
    page = signed_in.page
    # What Chromium says of the image that is not there may come first.
    with page.expect_console_message(lambda said: REFUSED not in said.text):
        page.evaluate(
            "try { document.body.innerHTML = '<img src=x onerror=\"window.ran = 1\">' } catch {}"
        )

    assert page.evaluate("window.ran") is None
    assert complaints(signed_in)


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_have_no_serious_finding_of_axe(
    browser: Browser, gateway: LiveGateway, language: str, theme: str
):
    # The policy forbids what the checker does; that it holds, other tests see.
    page = browser.new_page(locale=language, color_scheme=theme, bypass_csp=True)  # type: ignore[arg-type]
    try:
        job_id, dataset_id = gateway.order_training(), gateway.make_dataset({"rows_in": 9})
        gateway.say_state(job_id, JOB_STATUS_RUNNING)
        gateway.say_step(job_id, 1, loss=2.0)
        findings = []
        page.goto(f"{gateway.url}/console/index.html")
        findings += serious_findings(page)
        page.goto(f"{gateway.url}/console/index.html#token={gateway.token()}")
        page.reload()
        for place in (*PLACES, f"/jobs/{job_id}", f"/datasets/{dataset_id}"):
            go_to(page, place)
            findings += serious_findings(page)
        assert findings == []
    finally:
        page.close()


def test_no_page_is_wider_than_a_phone(browser: Browser, gateway: LiveGateway):
    page = browser.new_page(viewport={"width": PHONE_WIDTH, "height": 800})
    try:
        job_id, dataset_id = gateway.order_training(), gateway.make_dataset({"rows_in": 9})
        gateway.say_state(job_id, JOB_STATUS_RUNNING)
        gateway.say_step(job_id, 1, loss=2.0)
        page.goto(f"{gateway.url}/console/index.html#token={gateway.token()}")
        for place in (*PLACES, f"/jobs/{job_id}", f"/datasets/{dataset_id}"):
            go_to(page, place)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH, place
    finally:
        page.close()


def test_the_first_view_and_the_whole_stay_small(watched: WatchedPage, gateway: LiveGateway):
    open_console(watched, gateway, gateway.token())
    settled(watched.page)
    names = {each.partition("/console/")[2].partition("#")[0] for each in watched.requests}
    first = sum(size_of(BUILT / f"{name}.gz") for name in names if name)

    assert 0 < first <= FIRST_VIEW_BYTES
    assert sum(size_of(file) for file in BUILT.rglob("*.gz")) <= ALL_BYTES


def size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
