"""Journeys to the console and back: keys, sessions, scopes, languages, and a lost network."""

import httpx
from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_charts import chart, figures_shown
from tests.browser.console_place import ask, go_to, settled
from tests.browser.console_texts import LANGUAGES, ConsoleTexts
from tests.browser.console_trainings import (
    events_stored,
    points_stored,
    running_training,
    say_steps,
)
from tests.browser.console_visitor import ConsoleVisitor

KEY_CHARACTERS = 46


def follow_a_link(visitor: ConsoleVisitor) -> None:
    """Sign in with a key where a link of somebody led, and be there."""
    gateway, page = visitor.gateway, visitor.page
    wanted = {"name": "jobs alone", "scopes": ["jobs"]}
    key = ask(gateway, gateway.token(), "POST", "/v1/keys", **wanted)["key"]
    address = f"{gateway.url}/console/index.html#/jobs?kind=train"
    visitor.watched.open_address(address, wait_until="load")
    visitor.field("signin.key").fill("mm-" + "x" * 43)
    visitor.button("signin.submit").click()
    expect(visitor.alert()).to_contain_text(visitor.say("signin.unknown"))

    visitor.field("signin.key").fill(key)
    visitor.button("signin.submit").click()

    expect(visitor.heading("nav.jobs")).to_be_visible()
    expect(visitor.field("job.kind")).to_have_value("train")
    assert page.url == address


def sign_in_again(visitor: ConsoleVisitor) -> None:
    """A key that is revoked meanwhile ends the session; another goes on at the same page."""
    gateway, page = visitor.gateway, visitor.open("/usage?days=28")
    key = ask(gateway, gateway.token(), "POST", "/v1/keys", name="ends", scopes=["usage"])
    page.evaluate("key => sessionStorage.setItem('modelmill.credential', key)", key["key"])
    page.reload()
    expect(visitor.link("nav.usage")).to_be_visible()
    expect(visitor.link("nav.jobs")).to_have_count(0)
    settled(page)
    ask(gateway, gateway.token(), "DELETE", f"/v1/keys/{key['id']}")
    for _ in range(2):  # the reason is said again after a reload
        page.reload()
        expect(page.get_by_role("status")).to_contain_text(visitor.say("signin.ended"))

    visitor.field("signin.key").fill(gateway.token())
    visitor.button("signin.submit").click()

    expect(visitor.heading("nav.usage")).to_be_visible()
    assert page.url.endswith("#/usage?days=28")


def lack_a_scope(visitor: ConsoleVisitor) -> None:
    """Pages that the scopes open are linked; the others say which scope they need."""
    page, say = visitor.open("/access", scope="jobs usage", sub=HOSTILE[1]), visitor.say
    expect(page.locator(".facts")).to_contain_text(HOSTILE[1])
    linked = page.locator("header nav ul").first.get_by_role("link")
    expect(linked).to_have_text([say(f"nav.{each}") for each in ("home", "jobs", "usage")])
    expect(visitor.row(say("nav.jobs"))).to_contain_text(say("access.open"))
    policies = visitor.row(say("nav.policies"))
    either = say("state.or", one="moderation", other="chat")
    expect(policies).to_contain_text(say("access.missing", scope=either))
    expect(policies.get_by_role("link")).to_have_count(0)

    go_to(page, "/keys")
    expect(visitor.alert()).to_contain_text(say("state.lacks", scope="keys"))
    expect(visitor.alert()).to_contain_text(say("state.scope"))
    go_to(page, "/tenants")
    expect(visitor.alert()).to_contain_text("mill console --operator")


def keep_language_and_theme(visitor: ConsoleVisitor) -> None:
    """Another language and the dark theme are there again after a reload, until changed back."""
    page = visitor.open("/jobs")
    other = next(each for each in LANGUAGES if each != visitor.say.language)
    there = ConsoleTexts(other)
    visitor.field("nav.language").select_option(other)
    expect(page.get_by_role("heading", name=there("nav.jobs"), exact=True)).to_be_visible()
    page.get_by_label(there("nav.theme"), exact=True).select_option("dark")
    page.reload()

    expect(page.get_by_role("heading", name=there("nav.jobs"), exact=True)).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("lang", other)
    page.get_by_label(there("nav.language"), exact=True).select_option(visitor.say.language)
    expect(visitor.heading("nav.jobs")).to_be_visible()
    expect(visitor.field("nav.theme")).to_have_value("dark")


def lose_the_network(visitor: ConsoleVisitor) -> None:
    """A banner says that the gateway is away; once it is back no step is missing or twice."""
    gateway = visitor.gateway
    training = running_training(gateway)
    page = visitor.open(f"/jobs/{training}")
    loss = chart(page, visitor.say("chart.loss"))
    expect(loss).to_have_attribute("data-points", "10")
    # The stream is there once it brings news. A request that still waits for its answer would be
    # repeated by Chromium itself, also where it is offline.
    for step in (11, 12):
        say_steps(gateway, training, range(step, step + 1))
        expect(loss).to_have_attribute("data-points", str(step))

    page.context.set_offline(True)
    gateway.cut()
    say_steps(gateway, training, range(13, 18))
    expect(visitor.alert()).to_have_text(visitor.say("state.lost"))
    page.context.set_offline(False)
    expect(loss).to_have_attribute("data-points", "17")
    expect(page.get_by_role("alert")).to_have_count(0)

    shown = figures_shown(page, visitor.say("job.csv"))
    assert shown == points_stored(gateway, training)
    expect(page.locator(".log li")).to_have_count(len(events_stored(gateway, training)))


def make_and_revoke_a_key(visitor: ConsoleVisitor) -> None:
    """A key is shown once and kept nowhere, works, and is revoked only after a question."""
    page, say = visitor.open("/keys", tenant=visitor.own("maker")), visitor.say
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(visitor.text("key.none")).to_be_visible()
    visitor.button("key.new").click()
    visitor.field("key.name").fill(HOSTILE[1])
    visitor.field("limit.requests_per_minute").fill("60")
    visitor.button("key.create").click()
    secret = visitor.field("key.secret").input_value()
    assert len(secret) == KEY_CHARACTERS
    visitor.button("copy.copy").click()
    expect(visitor.text("copy.done")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    assert _status_with(visitor, secret) == 200

    visitor.link("key.all").click()
    made = visitor.row(HOSTILE[1])
    for words in (say("key.status.active"), f"{secret[:10]}…"):
        expect(made).to_contain_text(words)
    expect(made).to_contain_text(f"{say('limit.requests_per_minute')}: 60")
    assert secret not in page.content()
    assert secret not in page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")
    visitor.confirm("key.revoke", made)

    expect(made).to_contain_text(say("key.status.revoked"))
    assert _status_with(visitor, secret) == 401


def _status_with(visitor: ConsoleVisitor, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.get(f"{visitor.gateway.url}/v1/models", headers=headers).status_code
