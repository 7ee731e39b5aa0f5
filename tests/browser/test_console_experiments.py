"""Experiments in the console: what is compared, how it stands, and its end."""

import uuid

from playwright.sync_api import expect

from tests.browser.console_place import ask, complaints, confirm, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage


def begun(gateway: LiveGateway, token: str) -> tuple[str, str]:
    """An alias, and the experiment that runs on it."""
    alias = f"compared-{uuid.uuid4().hex[:8]}"
    ask(gateway, token, "PUT", f"/v1/aliases/{alias}", version_id="mv-build")
    order = {"alias": alias, "candidates": ["mv-tuned"], "primary": "completion"}
    return alias, str(ask(gateway, token, "POST", "/v1/experiments", **order)["id"])


def test_an_experiment_is_listed_shown_with_its_evidence_and_stopped(
    watched: WatchedPage, gateway: LiveGateway
):
    token = gateway.token(tenant="comparers")
    alias, experiment_id = begun(gateway, token)
    page = open_place(watched, gateway, "/experiments", token)
    row = page.get_by_role("row").filter(has_text=experiment_id)
    expect(row).to_contain_text("running")
    row.get_by_role("link", name=experiment_id).click()

    arms = page.get_by_role("table").filter(has_text="Share of keys")
    expect(arms.get_by_role("row").nth(1)).to_contain_text("base")
    expect(arms.get_by_role("row").nth(2)).to_contain_text("mv-tuned")
    evidence = page.get_by_role("table").filter(has_text="Harmful")
    expect(evidence.get_by_role("rowheader")).to_have_text(["completion", "errors"])
    expect(page.get_by_text("Nothing is decided yet.")).to_be_visible()

    confirm(page, "Stop")

    expect(page.locator(".status").first).to_contain_text("stopped")
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    stopped = ask(gateway, token, "GET", f"/v1/experiments/{experiment_id}")
    assert (stopped["status"], stopped["alias"]) == ("stopped", alias)
    assert complaints(watched) == []


def test_who_has_none_is_told_how_to_create_one(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/experiments", gateway.token(tenant="idle"))

    expect(page.get_by_text("mill experiments create")).to_be_visible()


def test_who_may_not_see_experiments_is_told_why(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/experiments", gateway.token(scope="chat"))

    expect(page.get_by_role("alert")).to_contain_text("scope models:read")
