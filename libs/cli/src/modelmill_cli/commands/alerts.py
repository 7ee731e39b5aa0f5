"""`mill alerts`: what Prometheus has found wrong with this installation, for operators."""

import typer

from modelmill_cli.gateway import connect_as_operator
from modelmill_cli.output import AsJson, Columns, print_list, when

COLUMNS: Columns = {
    "state": lambda alert: alert["state"],
    "severity": lambda alert: alert["severity"] or "",
    "alert": lambda alert: alert["name"],
    "since": lambda alert: when(alert["since"]) if alert["since"] else "",
    "summary": lambda alert: alert["summary"],
    "remedy": lambda alert: alert["remedy"] or "",
}


def alerts(context: typer.Context, as_json: AsJson = False) -> None:
    """List alerts that fire or are about to, as the gateway's Prometheus has them."""
    with connect_as_operator(context.obj) as client:
        print_list(client.alerts.list(), COLUMNS, as_json=as_json)
