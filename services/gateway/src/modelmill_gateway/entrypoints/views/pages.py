"""Lists, pages of them, and what is deleted, in OpenAI's words."""

from collections.abc import Callable, Iterable
from typing import Any

from modelmill_gateway.domain.pages import Page, T
from modelmill_gateway.entrypoints.views.job_views import View


def list_view(items: Iterable[T], view: Callable[[T], View]) -> View:
    """A whole list."""
    return {"object": "list", "data": [view(item) for item in items], "has_more": False}


def page_view(page: Page[T], view: Callable[[T], View]) -> View:
    """Some of a list, with the ids from which clients turn the page."""
    shown = [view(item) for item in page.items]
    ends: dict[str, Any] = {
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }
    return {"object": "list", "data": shown, "has_more": page.has_more, **ends}


def deleted_view(kind: str, deleted_id: str) -> View:
    """That something is deleted, in OpenAI's words."""
    return {"id": deleted_id, "object": kind, "deleted": True}
