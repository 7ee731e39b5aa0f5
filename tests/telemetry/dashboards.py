"""The committed dashboards, as what they ask Prometheus."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
METRIC = re.compile(r"\b(?:modelmill|gen_ai_server|process)_\w+|\bup\b")
RATE_WINDOW = "1m"


@dataclass(frozen=True)
class Query:
    """One line of one panel."""

    dashboard: str
    panel: str
    expression: str
    only_with: str | None
    """The query of the variable that repeats the panel: where it has no value, nothing is shown."""

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel}: {self.expression}"


def read(file: Path) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads(file.read_text())
    return dashboard


def queries() -> Iterator[Query]:
    """Every line of every panel, with Grafana's variables filled in as for "all"."""
    for file in FILES:
        dashboard = read(file)
        variables = {v["name"]: v["definition"] for v in dashboard["templating"]["list"]}
        for panel in dashboard["panels"]:
            only_with = variables[panel["repeat"]] if "repeat" in panel else None
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", RATE_WINDOW)
                for name in variables:
                    expression = expression.replace(f"${name}", ".+")
                yield Query(dashboard["title"], panel["title"], expression, only_with)


def metrics_in(expression: str) -> set[str]:
    """Names of our metrics in an expression, without what stands in quotes."""
    return set(METRIC.findall(re.sub(r'"[^"]*"', '""', expression)))
