"""Journeys of who answers for a tenant or for all: budget, usage, records, webhooks, operations."""

import csv
import time
from pathlib import Path

import httpx
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING
from modelmill_testkit.ports import free_port
from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import OPERATOR, ask, go_to, record_usage
from tests.browser.console_visitor import LONG_MS, ConsoleVisitor

DAY = 86400
HEAD = ["day", "model", "api_key_id", "num_model_requests", "input_tokens", "output_tokens"]
HOSTILE_QUERY = "?q=<svg/onload='window.ran=3'>"


def set_the_budget(visitor: ConsoleVisitor) -> None:
    """Limits of the own tenant are set by keyboard, shown with who set them, and taken away."""
    tenant, say = visitor.own("thrifty"), visitor.say
    page = visitor.open("/budget", tenant=tenant, sub=HOSTILE[1])
    money = visitor.field("limit.money")
    money.focus()
    page.keyboard.type("12.50")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(say("limit.saved"))
    by_day = f"{say('limit.money')} ({say('limit.period.day')})"
    expect(visitor.row(by_day)).to_contain_text("12.5")
    expect(page.locator(".facts")).to_contain_text(HOSTILE[1])

    money.fill("")
    visitor.button("limit.set").click()
    expect(visitor.row(say("limit.money"))).to_contain_text(say("limit.none"))
    token = visitor.gateway.token(tenant=tenant)
    shown = ask(visitor.gateway, token, "GET", "/v1/budget")["limits"]
    assert set(shown.values()) == {None}


def account_for_usage(visitor: ConsoleVisitor) -> None:
    """Sums by day, model and key of a week and of four, and a file with a line for each."""
    tenant, now = visitor.own("csv"), time.time()
    spent = {"version_id": "mv-build", "key_id": "key-1", "prompt_tokens": 7}
    for days in (0, 3, 3, 20):
        record_usage(visitor.gateway, tenant, now - days * DAY, **spent)
    page, say = visitor.open("/usage", tenant=tenant), visitor.say
    days = visitor.region("usage.by_day").locator("tbody tr")
    expect(days).to_have_count(7)
    expect(visitor.row("key-1", visitor.region("usage.by_key"))).to_contain_text("21")
    with page.expect_download() as download:
        visitor.button("usage.csv").click()
    with Path(download.value.path()).open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [*HEAD, "cost_micros"]
    told = [(each["num_model_requests"], each["input_tokens"]) for each in lines]
    assert told == [("2", "14"), ("1", "7")]

    visitor.field("usage.period").select_option("28")
    expect(days).to_have_count(28)
    expect(visitor.row("mv-build", visitor.region("usage.by_model"))).to_contain_text("28")
    visitor.field("usage.bars").select_option("input_tokens")
    bar = say("usage.bar", measure=say("usage.input"))
    expect(visitor.region("usage.by_day").get_by_role("columnheader", name=bar)).to_be_visible()


def read_the_audit_log(visitor: ConsoleVisitor) -> None:
    """Who changed what is told, with texts of others as text."""
    token = visitor.gateway.token(tenant=visitor.own("watched"), sub=HOSTILE[1])
    key = ask(visitor.gateway, token, "POST", "/v1/keys", name="watched")["id"]
    visitor.open("/budget", tenant=visitor.own("watched"))
    visitor.link("nav.audit").click()
    expect(visitor.heading("nav.audit")).to_be_visible()

    row = visitor.row("issue_key")
    expect(row).to_contain_text(HOSTILE[1], timeout=LONG_MS)
    expect(row).to_contain_text(key)


def try_a_webhook(visitor: ConsoleVisitor) -> None:
    """A test event is sent, its delivery shown, and the endpoint disabled and enabled."""
    gateway, say = visitor.gateway, visitor.say
    token = gateway.token(tenant=visitor.own("hooked"))
    nobody = f"http://127.0.0.1:{free_port()}/{HOSTILE_QUERY}"
    made = ask(gateway, token, "POST", "/v1/webhooks", url=nobody, events=["job.failed"])
    page = visitor.open("/webhooks", tenant=visitor.own("hooked"))
    expect(visitor.row(nobody)).to_contain_text(say("webhook.enabled"))
    page.get_by_role("link", name=nobody).click()
    deliveries = visitor.region("webhook.deliveries")
    expect(deliveries).to_contain_text(say("webhook.no_deliveries"))
    visitor.button("webhook.test").click()
    expect(page.get_by_role("status")).to_contain_text(say("webhook.tested", id="").rstrip(".。"))
    attempt = visitor.row("webhook.test", deliveries)
    expect(attempt).to_contain_text(say("webhook.outcome.unreachable"), timeout=LONG_MS)

    visitor.button("webhook.disable").click()
    expect(page.locator(".status.disabled")).to_have_text(say("webhook.disabled"))
    assert not ask(gateway, token, "GET", f"/v1/webhooks/{made['id']}")["enabled"]
    visitor.button("webhook.enable").click()
    expect(page.locator(".status.enabled")).to_be_visible()
    assert made["secret"] not in page.content()


def limit_and_suspend_a_tenant(visitor: ConsoleVisitor) -> None:
    """An operator sets limits of a tenant, and suspends and resumes it after a question."""
    gateway, say, tenant = visitor.gateway, visitor.say, visitor.own("acme-labs")
    claims = {**OPERATOR, "sub": HOSTILE[1]}
    ask(gateway, gateway.token(**claims), "POST", "/v1/tenants", name=tenant)
    page = visitor.open("/tenants", **claims)
    page.get_by_role("link", name=tenant).click()
    visitor.field("limit.tokens").fill("1000")
    visitor.choice("limit.period").select_option("month")
    visitor.button("limit.set").click()
    expect(visitor.text("limit.saved")).to_be_visible()
    monthly = f"{say('limit.tokens')} ({say('limit.period.month')})"
    expect(visitor.row(monthly)).to_contain_text("1,000")
    visitor.confirm("tenant.suspend")
    expect(page.locator(".status.suspended")).to_have_text(say("tenant.status.suspended"))
    assert _status_of(visitor, tenant) == 403
    visitor.confirm("tenant.resume")
    expect(page.locator(".status.active")).to_have_text(say("tenant.status.active"))
    assert _status_of(visitor, tenant) == 200

    go_to(page, "/tenants")
    expect(visitor.row(tenant)).to_contain_text(f"{monthly}: 1,000")


def _status_of(visitor: ConsoleVisitor, tenant: str) -> int:
    headers = {"authorization": f"Bearer {visitor.gateway.token(tenant=tenant)}"}
    return httpx.get(f"{visitor.gateway.url}/v1/models", headers=headers).status_code


def look_after_the_installation(visitor: ConsoleVisitor) -> None:
    """Operators begin at services, queues, workers and streams; what is missing names a step."""
    gateway, say = visitor.gateway, visitor.say
    gateway.order_training()
    gateway.say_state(gateway.order_training(), JOB_STATUS_RUNNING, owner=HOSTILE[1])
    visitor.open("/", **OPERATOR)
    expect(visitor.heading("nav.operations")).to_be_visible()
    trainer = visitor.row("trainer", visitor.region("ops.services"))
    expect(trainer).to_contain_text(say("ops.state.serving"))
    queues = visitor.region("ops.queues")
    expect(visitor.row(say("kind.train"), queues)).to_be_visible()
    expect(visitor.region("ops.workers")).to_contain_text(HOSTILE[1])
    expect(visitor.row("JOBS", visitor.region("ops.streams"))).to_contain_text("%")
    expect(visitor.region("ops.room")).to_contain_text("mill capacity")
    expect(visitor.region("ops.findings")).to_contain_text("mill doctor")
    alerts = visitor.region("ops.alerts").get_by_role("alert")
    expect(alerts).to_contain_text("GATEWAY_PROMETHEUS_URL")
