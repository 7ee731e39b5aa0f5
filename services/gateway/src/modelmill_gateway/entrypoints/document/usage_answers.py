"""Shapes of what a tenant used, with an example."""

from typing import Any, Literal

from modelmill_gateway.entrypoints.document.examples import AT
from modelmill_gateway.entrypoints.document.shape import Answer


class UsageResult(Answer):
    """Sums of some requests; `cost_micros` is in millionths of the operator's currency.

    Of what is not grouped by, and of requests that no model answered or no key came with, the
    field is null.
    """

    object: Literal["organization.usage.completions.result"]
    input_tokens: int
    output_tokens: int
    num_model_requests: int
    cost_micros: int
    model: str | None
    api_key_id: str | None
    user_id: str | None


class UsageBucket(Answer):
    """Time bucket of usage; without results if nothing was used."""

    object: Literal["bucket"]
    start_time: int
    end_time: int
    results: list[UsageResult]


class UsagePage(Answer):
    """Buckets, oldest first."""

    object: Literal["page"]
    data: list[UsageBucket]
    has_more: bool
    next_page: str | None


USAGE = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": AT,
            "end_time": AT + 86400,
            "results": [
                {
                    "object": "organization.usage.completions.result",
                    "input_tokens": 2100,
                    "output_tokens": 200,
                    "num_model_requests": 100,
                    "cost_micros": 0,
                    "model": "mv-5d1c0e",
                    "api_key_id": None,
                    "user_id": None,
                }
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}
QUERY: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("start_time", {"type": "integer"}, "Start in Unix seconds, required."),
    ("end_time", {"type": "integer"}, "End in Unix seconds, exclusive; defaults to now."),
    ("bucket_width", {"enum": ["1m", "1h", "1d"], "default": "1d"}, "Width of a bucket, by UTC."),
    (
        "group_by",
        {"type": "array", "items": {"enum": ["model", "api_key_id", "key", "user_id", "caller"]}},
        "Fields to group sums by.",
    ),
    ("models", {"type": "array", "items": {"type": "string"}}, "Filter by model versions."),
    ("api_key_ids", {"type": "array", "items": {"type": "string"}}, "Filter by API keys."),
    ("user_ids", {"type": "array", "items": {"type": "string"}}, "Filter by callers."),
    (
        "limit",
        {"type": "integer", "minimum": 1},
        "Maximum number of buckets: 1,440 minutes, 168 hours or 31 days.",
    ),
    ("page", {"type": "string"}, "Cursor: `next_page` of the previous page."),
)
"""Parameters of the query: name, schema, meaning."""
