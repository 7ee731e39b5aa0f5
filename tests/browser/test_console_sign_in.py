"""Sign-in to the console at an OpenID provider: code with PKCE, and what signs nobody in."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from modelmill_gateway.oidc_settings import OidcSettings
from modelmill_testkit.waiting import eventually
from playwright.sync_api import Page, expect

from tests.browser.console_place import complaints
from tests.browser.live_gateway import LiveGateway, built_console, live_gateway
from tests.browser.oidc_provider import AUDIENCE, CLIENT, SmallProvider, small_provider
from tests.browser.watched_page import WatchedPage


async def is_offered(gateway: LiveGateway) -> bool:
    """Whether the gateway has found where people sign in."""
    answer = await gateway.house.http().get("/v1/sign_in")
    return bool(answer.json()["data"])


@pytest.fixture(scope="module")
def signing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[SmallProvider, LiveGateway]]:
    """A provider, and a gateway that takes its tokens."""
    folder = tmp_path_factory.mktemp("sign-in")
    with small_provider(folder) as provider:
        fixed = {"audience": AUDIENCE, "tenant": "acme", "scopes": ["models:read", "jobs"]}
        issuer = OidcSettings.model_validate({"issuer": provider.url, "client_id": CLIENT} | fixed)
        place = {"console_folder": built_console(), "oidc_issuers": (issuer,)}
        with live_gateway(folder, **place) as gateway:
            gateway.run(eventually(partial(is_offered, gateway)))
            yield provider, gateway


@pytest.fixture
def provider(signing: tuple[SmallProvider, LiveGateway]) -> SmallProvider:
    """As it is when nothing is wrong."""
    found, _ = signing
    found.asked.clear()
    found.state, found.refusal, found.id_claims = "", "", {}
    return found


def sign_in(watched: WatchedPage, signing: tuple[SmallProvider, LiveGateway]) -> Page:
    """Until the provider has led back."""
    _, gateway = signing
    watched.open_address(f"{gateway.url}/console/index.html#/jobs?from=here", wait_until="load")
    page = watched.page
    with page.expect_navigation(url="**/console/index.html*"):
        page.get_by_role("button", name="Sign in at 127.0.0.1").click()
    return page


def test_whoever_signs_in_at_a_provider_is_where_they_wanted_to_be(
    watched: WatchedPage, signing: tuple[SmallProvider, LiveGateway], provider: SmallProvider
):
    page = sign_in(watched, signing)

    expect(page.get_by_text("acme · ada")).to_be_visible()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    assert page.url == f"{signing[1].url}/console/index.html#/jobs?from=here"
    (query,) = provider.asked
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert query["client_id"] == CLIENT
    assert min(len(query[name]) for name in ("state", "nonce", "code_challenge")) == 43
    kept = page.evaluate("JSON.stringify({...sessionStorage})")
    assert query["state"] not in kept
    assert page.evaluate("JSON.stringify({...localStorage})").count("ey") == 0
    page.reload()
    expect(page.get_by_text("acme · ada")).to_be_visible()
    assert complaints(watched) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": "of-mallory"}, "not begun in this tab"),
        ({"id_claims": {"nonce": "of-mallory"}}, "not begun in this tab"),
        ({"id_claims": {"aud": "another-client"}}, "not begun in this tab"),
        ({"id_claims": {"exp": 1}}, "not begun in this tab"),
        ({"refusal": "access_denied<script>window.ran = 1</script>"}, "access_denied<script>"),
    ],
)
def test_an_answer_that_is_not_that_of_this_sign_in_signs_nobody_in(
    watched: WatchedPage,
    signing: tuple[SmallProvider, LiveGateway],
    provider: SmallProvider,
    change: dict[str, Any],
    said: str,
):
    for name, value in change.items():
        setattr(provider, name, value)
    page = sign_in(watched, signing)

    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_role("heading", name="Sign in to Modelmill")).to_be_visible()
    assert "modelmill.credential" not in page.evaluate("JSON.stringify({...sessionStorage})")
    assert page.evaluate("window.ran") is None


def test_a_code_of_others_is_not_taken(
    watched: WatchedPage, signing: tuple[SmallProvider, LiveGateway], provider: SmallProvider
):
    address = f"{signing[1].url}/console/index.html?code=code-of-ada&state=of-mallory"
    watched.open_address(address, wait_until="load")

    expect(watched.page.get_by_role("alert")).to_contain_text("not begun in this tab")
    assert "code=" not in watched.page.url
    assert not [each for each in watched.requests if each.startswith(provider.url)]
