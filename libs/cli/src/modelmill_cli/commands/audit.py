"""`mill audit`: who changed what, as the audit log has it."""

from itertools import islice
from typing import Annotated

import typer

from modelmill_cli.gateway import connect
from modelmill_cli.output import AsJson, Columns, print_list, when

COLUMNS: Columns = {
    "at": lambda change: when(change["at"]),
    "by": lambda change: change["subject"],
    "key": lambda change: change["key_id"] or "",
    "change": lambda change: change["route"],
    "object": lambda change: change["object_id"] or "",
    "request": lambda change: change["request_id"],
}


def audit(
    context: typer.Context,
    last: Annotated[int, typer.Option(min=1, help="Number of latest changes.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the latest changes of the tenant, newest first."""
    with connect(context.obj) as client:
        print_list(islice(client.audit.list(), last), COLUMNS, as_json=as_json)
