"""Requests of small forms to take along: what runs elsewhere asks what the form asks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import OPERATOR, ask, open_place
from tests.browser.console_trainings import file_in_parts
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

NAME = HOSTILE[1] + '\\ "it\'s"'
Fill = Callable[[Page], None]


def fill_key(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_label("Tokens", exact=True).fill("1000")


def fill_budget(page: Page) -> None:
    page.get_by_label("Money", exact=True).fill("12.50")


def fill_tenant(page: Page) -> None:
    page.get_by_text("New tenant", exact=True).click()
    page.get_by_label("Name of the tenant").fill("copied")


def fill_webhook(page: Page) -> None:
    page.get_by_text("New webhook", exact=True).click()
    page.get_by_label("URL of the endpoint").fill("http://127.0.0.1:9/?it's")


def fill_alias(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill("copied")
    page.get_by_label("Version 1").select_option("mv-base")


def fill_text(page: Page) -> None:
    page.get_by_label("Text", exact=True).fill(NAME)


def fill_policy(page: Page) -> None:
    page.get_by_label("Document", exact=True).fill("a.yaml")
    page.get_by_label("Rules in YAML").fill(f"rules: []  # {NAME}\n")


FORMS: dict[str, tuple[str, Fill, str, dict[str, str]]] = {
    "a key": ("/keys/new", fill_key, "Create key", {"tenant": "copy-key"}),
    "a budget": ("/budget", fill_budget, "Set limits", {"tenant": "copy-budget"}),
    "a tenant": ("/tenants", fill_tenant, "Create tenant", OPERATOR),
    "limits": ("/tenants/limited", fill_budget, "Set limits", OPERATOR),
    "limits of a key": ("/keys/KEY", fill_budget, "Set limits", {"tenant": "copy-keys"}),
    "a webhook": ("/webhooks", fill_webhook, "Create webhook", {"tenant": "copy-hook"}),
    "an alias": ("/aliases", fill_alias, "Set alias", {"tenant": "copy-alias"}),
    "a policy": ("/policies", fill_policy, "Check", {"tenant": "copy-policy"}),
    "a text": ("/policies", fill_text, "Judge this text", {"tenant": "copy-text"}),
}


@pytest.fixture(scope="module", autouse=True)
def _limited(gateway: LiveGateway) -> None:
    """The tenant whose limits are set."""
    ask(gateway, gateway.token(**OPERATOR), "POST", "/v1/tenants", name="limited")


@pytest.mark.parametrize(("place", "fill", "button", "claims"), FORMS.values(), ids=FORMS)
def test_curl_and_python_ask_what_the_form_asks(
    watched: WatchedPage,
    gateway: LiveGateway,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    fill: Fill,
    button: str,
    claims: dict[str, str],
):
    if place.endswith("KEY"):
        key = ask(gateway, gateway.token(**claims), "POST", "/v1/keys", name="copied")
        place = place.replace("KEY", key["id"])
    page = open_place(watched, gateway, place, gateway.token(**claims))
    fill(page)
    form = page.locator("form").filter(has=page.get_by_role("button", name=button, exact=True))
    curl = form.get_by_label("curl", exact=True).text_content() or ""
    python = form.get_by_label("Python", exact=True).text_content() or ""
    sent = asked_by(page, form.get_by_role("button", name=button, exact=True).click, button)

    assert (method_of(curl), path_of(curl, gateway), body_of(curl)) == sent
    assert called(python, monkeypatch) == sent
    for text in (curl, python):
        assert "MODELMILL_TOKEN" in text
        assert gateway.token(**claims)[:20] not in text


def test_a_dataset_is_ordered_elsewhere_as_by_its_form(
    watched: WatchedPage, gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    gateway.house.data_prep.busy = False
    page = open_place(watched, gateway, "/datasets/new", gateway.token(tenant="copy-data"))
    page.get_by_label("File with rows").set_input_files(file_in_parts(tmp_path))
    page.get_by_label("Question").fill("What is {word}?")
    form = page.locator("form").filter(has=page.get_by_role("button", name="Create dataset"))
    curl = form.get_by_label("curl", exact=True).text_content() or ""
    python = form.get_by_label("Python", exact=True).text_content() or ""
    sent = asked_by(page, form.get_by_role("button", name="Create dataset").click, "")

    assert sent[2]["mapping"]["user_template"] == "What is {word}?"
    assert (method_of(curl), path_of(curl, gateway), body_of(curl)) == sent
    assert called(python, monkeypatch) == sent


def asked_by(page: Page, click: Callable[[], None], button: str) -> tuple[str, str, Any]:
    """Method, path and body that the form sends; the gateway does not hear of it."""
    asked: list[tuple[str, str, Any]] = []

    def keep(route: Route) -> None:
        request = route.request
        if request.method == "GET":
            return route.continue_()
        path = "/v1/" + request.url.partition("/v1/")[2]
        asked.append((request.method, path, request.post_data_json))
        return route.fulfill(status=400, json={"error": {"message": "kept"}})

    page.route("**/v1/**", keep)
    click()
    dialog = page.get_by_role("dialog")
    if button == "Set alias":
        dialog.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("alert").first).to_contain_text("kept")
    return asked[0]


def method_of(curl: str) -> str:
    return curl.partition("-X ")[2].partition(" ")[0] or "POST"


def path_of(curl: str, gateway: LiveGateway) -> str:
    return curl.partition(gateway.url)[2].partition("'")[0]


def body_of(curl: str) -> Any:
    """As a shell reads what stands in single quotes."""
    quoted = curl.partition("  -d '")[2].removesuffix("'")
    return json.loads(quoted.replace("'\\''", "'"))


def called(python: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, Any]:
    """What the text asks with our client, which does not ask it."""
    asked: list[tuple[str, str, Any]] = []

    def keep(_: Any, method: str, path: str, **given: Any) -> dict[str, str]:
        asked.append((method, path, given.get("json")))
        return {"id": "kept"}

    monkeypatch.setenv("MODELMILL_TOKEN", "none")
    monkeypatch.setattr("modelmill_client._sync.transport.Transport.call", keep)
    exec(python, {})
    return asked[0]
