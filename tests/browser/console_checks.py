"""What holds for each page of the console: no serious finding of axe, and a phone's width."""

import json

from playwright.sync_api import Page

from tests.browser.live_gateway import ROOT

AXE = ROOT / "services" / "gateway" / "console" / "node_modules" / "axe-core" / "axe.min.js"
PHONE_WIDTH = 390
SERIOUS = ("serious", "critical")


def serious_findings(page: Page) -> list[str]:
    page.evaluate(AXE.read_text("utf-8"))
    found = json.loads(page.evaluate("axe.run().then((all) => JSON.stringify(all.violations))"))
    return [
        f"{page.url}: {each['id']}: {[node['html'] for node in each['nodes']]}"
        for each in found
        if each["impact"] in SERIOUS
    ]
