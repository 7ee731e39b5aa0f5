"""`mill whoami`: whom the credential names that commands use, and what it grants."""

import typer

from modelmill_cli.gateway import connect
from modelmill_cli.output import AsJson, print_table_of, when


def whoami(context: typer.Context, as_json: AsJson = False) -> None:
    """Show whom the token or API key names, what it grants, and until when."""
    with connect(context.obj) as client:
        found = client.me.retrieve()
    facts = {
        "tenant": found["tenant"],
        "subject": found["subject"],
        "API key": found["key_id"] or "none, a token",
        "scopes": " ".join(found["scopes"]) or "none",
        "models": " ".join(found["models"]) or "all",
        "expires": when(found["expires_at"]),
    }
    print_table_of(found, facts.items(), as_json=as_json)
