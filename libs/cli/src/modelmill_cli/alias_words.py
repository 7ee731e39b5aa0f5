"""What `mill models alias` is told, in the words of `PUT /v1/aliases/{name}`."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from modelmill_service_kit.errors import InvalidInputError

Versions = Annotated[
    list[str],
    typer.Argument(
        metavar="VERSION...", help="One version or name, or several with weights: kinds=90 mv-b=10."
    ),
]
Shadow = Annotated[
    str | None,
    typer.Option(
        help="Shadow version, whose answers are discarded: VERSION, or VERSION=0.1 for a share."
    ),
]
Fallback = Annotated[
    list[str] | None,
    typer.Option(help="Fallback version, asked when the others cannot begin; repeatable."),
]


def wanted_alias(
    versions: list[str],
    shadow: str | None,
    fallback: list[str],
    full_id: Callable[[str], str],
) -> dict[str, Any]:
    """The request's body.

    Args:
        full_id: Of what a version is called; raises where there is none.

    Raises:
        InvalidInputError: several versions without weights, or a weight that is no number.
    """
    body: dict[str, Any] = {}
    if len(versions) == 1 and "=" not in versions[0]:
        body["version_id"] = full_id(versions[0])
    else:
        body["variants"] = [_variant(each, full_id) for each in versions]
    if shadow is not None:
        version_id, _, share = shadow.partition("=")
        body["shadow"] = {"version_id": full_id(version_id), "share": _number(share or "1", shadow)}
    if fallback:
        body["fallback"] = [full_id(each) for each in fallback]
    return body


def _variant(text: str, full_id: Callable[[str], str]) -> dict[str, Any]:
    """Named by its version, as answers call it."""
    version_id, equals, weight = text.rpartition("=")
    if not equals:
        raise InvalidInputError(f"{text}: several versions need weights, as in {text}=50")
    share = _number(weight, text)
    version_id = full_id(version_id)
    return {"name": version_id, "version_id": version_id, "weight": share}


def _number(text: str, said: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInputError(f"{said}: must end with a number, not {text!r}") from None
