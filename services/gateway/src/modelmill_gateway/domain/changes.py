"""Which routes change something that lasts: whoever does is written down."""

from modelmill_gateway.domain.route import Route

ANSWERING = frozenset(
    {
        *("generate", "chat", "complete", "respond", "messages", "count_tokens", "embed"),
        *("moderate", "record_feedback", "preview_dataset", "test_webhook"),
        # The file is a change once its parts are joined.
        "add_upload_part",
    }
)
"""Routes with bodies that are answered and change nothing; a new route is taken for a change."""


def is_change(route: Route) -> bool:
    """Whether what the route does is there after its answer."""
    return route.method != "GET" and route.name not in ANSWERING
