"""A page of the console as somebody with certain scopes opens it, and what a tenant has there."""

import uuid
from typing import Any

import httpx
from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch, UsageRecorded
from modelmill_bus.subjects import usage_recorded
from playwright.sync_api import Page, expect

from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

PLACES = (
    "/",
    "/jobs",
    "/jobs/new?model=mv-base",
    "/jobs/new?kind=evaluate&model=default",
    "/jobs/new?kind=optimize&model=default",
    "/jobs/compare",
    "/datasets",
    "/datasets/new",
    "/datasets/compare",
    "/models",
    "/models/mv-build",
    "/aliases",
    "/aliases/default",
    "/experiments",
    "/logs",
    "/playground",
    "/playground/compare",
    "/keys",
    "/keys/new",
    "/usage",
    "/policies",
    "/audit",
    "/webhooks",
    "/budget",
    "/access",
)
"""Of pages that need nothing to be there."""
OPERATOR = {"tenant": "operators", "scope": "operator"}
"""Claims of who opens those of operators."""
OPERATOR_PLACES = ("/operations", "/tenants")
REFUSED = "Failed to load resource"
"""What Chromium says of each answer that is a refusal."""
GO = """
    (place) => new Promise((done) => {
        const drawn = () => requestAnimationFrame(() => setTimeout(done));
        if (location.hash === `#${place}`) return drawn();
        addEventListener("hashchange", drawn, {once: true});
        location.hash = place;
    })
"""


def open_place(watched: WatchedPage, gateway: LiveGateway, place: str, credential: str) -> Page:
    """The page at `place`, signed in."""
    address = f"{gateway.url}/console/index.html#token={credential}"
    watched.open_address(address, wait_until="load")
    go_to(watched.page, place)
    return watched.page


def without_reloads(page: Page) -> Page:
    """The page, which from its next document on asks nothing again: what it asks, it asks first."""
    page.add_init_script("window.setInterval = () => 0")
    return page


def go_to(page: Page, place: str) -> None:
    """As a link leads there, until all is there that the page loads."""
    page.evaluate(GO, place)
    settled(page)


def settled(page: Page) -> None:
    """Wait until a page shows all that it loads."""
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def complaints(watched: WatchedPage) -> list[str]:
    """What the browser complained of, but for refusals that a test provokes."""
    return [each for each in watched.complaints if REFUSED not in each]


def ask(gateway: LiveGateway, credential: str, method: str, path: str, **body: Any) -> Any:
    """The JSON that the API answers."""
    headers = {"authorization": f"Bearer {credential}"}
    json = body or None
    answer = httpx.request(method, f"{gateway.url}{path}", headers=headers, json=json, timeout=20)
    return answer.raise_for_status().json()


def record_usage(gateway: LiveGateway, tenant: str, at: float, **fields: Any) -> None:
    """One request that was answered at that time."""
    request_id = f"req-{uuid.uuid4().hex}"
    record = UsageRecorded(request_id=request_id, tenant=tenant, caller="ada", **fields)
    record.at.FromSeconds(int(at))
    batch = UsageBatch(tenant=tenant, requests=[record])
    subject = usage_recorded(tenant)
    gateway.run(gateway.house.bus.publish(subject, batch, msg_id=request_id))


def confirm(page: Page, label: str, question: str = "") -> None:
    """Press a button that asks, and say yes."""
    page.get_by_role("button", name=label, exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(question)
    dialog.get_by_role("button", name=label, exact=True).click()
