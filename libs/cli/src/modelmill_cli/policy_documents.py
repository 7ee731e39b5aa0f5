"""Documents of a policy on their way to the gateway, and the question before default rules go."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer
from modelmill_client import ApiStatusError, types
from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_cli.tables import plain


def read_documents(files: list[Path]) -> dict[str, str]:
    """Texts by the names of the files. Raises InvalidInputError: two have one name, or no UTF-8."""
    documents: dict[str, str] = {}
    for file in files:
        if file.name in documents:
            raise InvalidInputError(f"two of the files are called {file.name}")
        try:
            documents[file.name] = file.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"{file} is not UTF-8: {error.reason}") from error
    return documents


def by_name(documents: Iterable[types.PolicyDocument]) -> dict[str, str]:
    """Documents as the gateway shows them."""
    return {document["name"]: document["text"] for document in documents}


def as_sent(documents: dict[str, str]) -> list[types.PolicyDocumentBody]:
    """Documents as the gateway takes them."""
    return [{"name": name, "text": text} for name, text in documents.items()]


def changed(
    send: Callable[[dict[str, Any]], Any], body: dict[str, Any], removed: list[str] | None
) -> dict[str, Any]:
    """What the gateway answers, once it was said that the default rules which would go may go.

    Raises:
        PreconditionError: nobody is there to say so, or somebody says no; nothing was changed.
        ApiStatusError: it refuses otherwise.
    """
    if removed:
        body = body | {"remove_default_rules": removed}
    try:
        answer: dict[str, Any] = send(body)
    except ApiStatusError as error:
        rules = error.error.get("default_rules")
        if error.code != "default_rules_would_go" or not rules:
            raise
        _ask_whether_they_may_go(rules)
        answer = send(body | {"remove_default_rules": [*(removed or ()), *rules]})
    return answer


def _ask_whether_they_may_go(rules: list[str]) -> None:
    named = [plain(rule) for rule in rules]
    if not sys.stdin.isatty():
        flags = " ".join(f"--remove-default-rule {rule}" for rule in named)
        raise PreconditionError(
            f"nothing was changed: {len(named)} default rules would no longer be in force. Keep"
            f" them, or let them go by name: {flags}"
        )
    typer.echo("These default rules would no longer be in force, or only weaker:", err=True)
    for rule in named:
        typer.echo(f"  {rule}", err=True)
    if not typer.confirm("Let them go?", err=True):
        raise PreconditionError("nothing was changed")
