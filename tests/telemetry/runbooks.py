"""The index of runbooks, made from the alerts: `python -m tests.telemetry.runbooks` writes it."""

import re
import sys
from textwrap import fill

from tests.telemetry.alert_rules import RUNBOOKS, alerts, page_of

MAX_CHARACTERS = 120
INDEX = RUNBOOKS / "index.md"
HEAD = """\
# Runbooks

One page for each alert of `deploy/prometheus`: what it means, how to see it, what to do, and when
it resolves. `page` means that callers notice; `ticket` that they will. Each alert has the address
of its page, `runbook_url`. It begins with the label `docs` of `external_labels` in prometheus.yml:
set that to where people reach the gateway's `/docs`.

"""


def index_text() -> str:
    """The page as it ought to be."""
    rows = (
        f"- [{name}]({page_of(rule).name}), {rule['labels']['severity']}:"
        f" {_plain(rule['annotations']['summary'])}"
        for name, rule in alerts().items()
    )
    return HEAD + "".join(f"{fill(row, MAX_CHARACTERS, subsequent_indent='  ')}\n" for row in rows)


def _plain(summary: str) -> str:
    """Without the template's marks: a label stands for what it holds."""
    said = summary.replace("{{ $value | humanizePercentage }} of", "too many")
    said = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"*\1*", said)
    return said[0].upper() + said[1:]


if __name__ == "__main__":
    INDEX.write_text(index_text(), "utf-8")
    sys.exit(0)
