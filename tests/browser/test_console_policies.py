"""Policies in the console: errors lead to their line, default rules go only when named."""

from collections.abc import Iterator

import pytest
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from playwright.sync_api import Locator, Page, expect

from tests.browser.console_place import complaints, open_place, settled
from tests.browser.live_gateway import TENANT, LiveGateway
from tests.browser.watched_page import WatchedPage

WITHOUT_DEFAULTS = 7
"""The version that has no default rules."""
CHOSEN = """
    () => {
        const { value, selectionStart, selectionEnd } = document.activeElement;
        return value.substring(selectionStart, selectionEnd);
    }
"""


@pytest.fixture
def policies(watched: WatchedPage, gateway: LiveGateway) -> Iterator[Page]:
    """The page, of a tenant that has the shared policy."""
    gateway.house.moderation.reset()
    yield open_place(watched, gateway, "/policies", gateway.token())
    assert watched.page.evaluate("window.ran") is None
    assert complaints(watched) == []


def region(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def judge(page: Page, text: str) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Judge this text").click()


def propose(page: Page, text: str) -> None:
    page.get_by_label("Document", exact=True).fill("a.yaml")
    page.get_by_label("Rules in YAML").fill(text)
    page.get_by_role("button", name="Check").click()


def confirm(page: Page, scope: Locator, name: str) -> None:
    scope.get_by_role("button", name=name).click()
    page.get_by_role("dialog").get_by_role("button", name=name).click()


def rows(page: Page, name: str) -> list[list[str]]:
    found = region(page, name).locator("tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in found]


def test_errors_of_a_proposal_are_shown_by_line_and_lead_there(policies: Page):
    propose(policies, "rules:\n- id: wrong\n- id: worse")

    expect(policies.get_by_role("alert")).to_contain_text("Nothing was changed")
    assert rows(policies, "New version") == [
        ["a.yaml", "2", "rule x: bad"],
        ["a.yaml", "3", "rule y: bad"],
    ]
    policies.get_by_role("button", name="Go to line 3").click()
    chosen = policies.evaluate(CHOSEN)
    assert chosen == "- id: worse"


def test_default_rules_go_only_when_somebody_says_so(policies: Page, gateway: LiveGateway):
    propose(policies, "rules: [] # alone")
    expect(policies.get_by_text("Valid. What would change")).to_be_visible()
    expect(policies.get_by_role("button", name="Put in force")).to_have_count(0)
    policies.get_by_label("email-address, iban").check()
    confirm(policies, region(policies, "New version"), "Put in force")
    expect(region(policies, "Versions").locator("tbody tr")).to_have_count(1)

    known = [pb.PolicyVersion(tenant=TENANT, version=n) for n in (WITHOUT_DEFAULTS, 8)]
    gateway.house.moderation.versions = known
    policies.reload()
    settled(policies)
    confirm(policies, region(policies, "Versions").get_by_role("row").nth(2), "Revert to this")
    expect(policies.get_by_role("alert")).to_contain_text("iban")
    confirm(policies, region(policies, "Versions"), "Revert without these default rules")

    expect(region(policies, "Versions").locator("tbody tr")).to_have_count(3)
    expect(policies.get_by_role("alert")).to_have_count(0)


def test_without_the_scope_the_reason_is_shown_and_texts_are_still_judged(
    watched: WatchedPage, gateway: LiveGateway
):
    gateway.house.moderation.reset()
    page = open_place(watched, gateway, "/policies", gateway.token(scope="chat"))
    expect(region(page, "In force").get_by_role("alert")).to_contain_text("scope moderation")

    judge(page, "my phone")
    expect(page.get_by_role("status")).to_have_text("Matched, and passes")
