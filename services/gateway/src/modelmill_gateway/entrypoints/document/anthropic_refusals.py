"""The same refusals as Anthropic's clients read them."""

from typing import Any

from modelmill_gateway.entrypoints.document.refusals import ERROR, REFUSALS
from modelmill_gateway.entrypoints.http.errors import ANTHROPIC_OVERLOADED, anthropic_type

NAME = "Anthropic{name}"
"""Of a response object, after that of the refusal."""


def _schema() -> dict[str, Any]:
    inner = ERROR["properties"]["error"]
    types = {"enum": sorted({ANTHROPIC_OVERLOADED, *map(anthropic_type, REFUSALS)})}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["type", "error", "request_id"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "additionalProperties": False,
                "required": inner["required"],
                "properties": inner["properties"] | {"type": types},
            },
            "request_id": inner["properties"]["request_id"],
        },
    }


ANTHROPIC_ERROR = _schema()


def anthropic_responses(schema: dict[str, Any]) -> dict[str, Any]:
    """By their names, the responses of all refusals."""
    responses = {}
    for status, refusal in REFUSALS.items():
        response = refusal.response(schema)
        (content,) = response["content"].values()
        fields = content["example"]["error"]
        content["example"] = {
            "type": "error",
            "error": fields | {"type": anthropic_type(status)},
            "request_id": fields["request_id"],
        }
        responses[NAME.format(name=refusal.name)] = response
    return responses
