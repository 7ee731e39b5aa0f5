"""A version's lineage in the console: the graph of a large family."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.console_place import open_place
from tests.browser.live_gateway import TENANT, LiveGateway
from tests.browser.watched_page import WatchedPage

MANY, MOST = 60, 40


def say_model(gateway: LiveGateway, version_id: str, **fields: str) -> None:
    gateway.run(gateway.house.say_model(version_id, tenant=TENANT, **fields))


def nodes(page: Page) -> Locator:
    """Of the graph."""
    return page.get_by_role("group", name="Lineage as a graph").get_by_role("link")


def test_of_much_that_was_made_some_is_shown_and_the_rest_counted(
    watched: WatchedPage, gateway: LiveGateway
):
    say_model(gateway, "mv-wide", name="wide", form="safetensors")
    for number in range(MANY):
        say_model(gateway, f"mv-w{number}", name=f"w{number}", parent_version_id="mv-wide")
    page = open_place(watched, gateway, "/models/mv-wide", gateway.token())

    expect(nodes(page)).to_have_count(MOST + 1)
    expect(page.get_by_text(f"{MANY - MOST} more versions")).to_be_visible()
