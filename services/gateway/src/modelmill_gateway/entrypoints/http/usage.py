"""What a tenant used, in the shape of OpenAI's usage API."""

import time

from starlette.datastructures import QueryParams
from starlette.requests import Request

from modelmill_gateway.domain.errors import BadRequestError, unsupported
from modelmill_gateway.domain.usage_rows import WIDTHS, UsageQuestion
from modelmill_gateway.entrypoints.http.requests import caller_of
from modelmill_gateway.entrypoints.schemas.queries import UsageQuery
from modelmill_gateway.entrypoints.schemas.usage import UsageBucket, UsagePage
from modelmill_gateway.spending.show_usage import ShowUsage

LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
"""Buckets by their width: the latest, and those of a page, when nothing is said; and at most."""
OTHER_NAMES = {"key": "api_key_id", "caller": "user_id"}
UNSERVED = ("batch", "project_ids")
LATEST = 2**32
PAGE = "page_"


class UsageRoutes:
    """/v1/usage, and the same where OpenAI's clients look for it."""

    def __init__(self, show_usage: ShowUsage) -> None:
        self._show_usage = show_usage

    async def get_usage(self, request: Request) -> UsagePage:
        asked = question_of(request.query_params, now=int(time.time()))
        buckets = await self._show_usage(caller_of(request).tenant, asked)
        next_page = asked.next_page
        return UsagePage(
            data=[UsageBucket.of_bucket(each, asked.group_by) for each in buckets],
            has_more=next_page is not None,
            next_page=None if next_page is None else f"{PAGE}{next_page}",
        )

    get_organization_usage = get_usage


def question_of(given: QueryParams, now: int) -> UsageQuestion:
    """What the query asks for.

    Raises:
        BadRequestError: it is wrong; `param` is the field at fault.
    """
    for name in UNSERVED:
        if given.get(name) or given.get(f"{name}[]"):
            raise unsupported(name)
    query = UsageQuery.of(given)
    width = WIDTHS[query.bucket_width]
    end = min(now + 1 if query.end_time is None else query.end_time, LATEST)
    start = _start_of(query, end, width)
    if end <= start:
        raise _wrong("end_time", "must be after start_time")
    usual, most = LIMITS[query.bucket_width]
    limit = query.limit or usual
    if limit > most:
        raise _wrong("limit", f"must be from 1 to {most} for buckets of {query.bucket_width}")
    filters = {"model": query.models, "api_key_id": query.api_key_ids, "user_id": query.user_ids}
    return UsageQuestion(
        start=max(start, int(query.page.removeprefix(PAGE)) if query.page else 0),
        end=end,
        width=width,
        limit=limit,
        group_by=tuple(dict.fromkeys(OTHER_NAMES.get(name, name) for name in query.group_by)),
        only={name: frozenset(values) for name, values in filters.items() if values},
    )


def _start_of(query: UsageQuery, end: int, width: int) -> int:
    """The start that is asked for, or that of the latest buckets."""
    if query.start_time is None:
        last = query.last or LIMITS[query.bucket_width][0]
        return max((end - 1) // width - last + 1, 0) * width
    if query.last is not None:
        raise _wrong("last", "cannot be combined with start_time. Leave out one of them")
    return min(query.start_time, LATEST)


def _wrong(param: str, message: str) -> BadRequestError:
    return BadRequestError(f"{param}: {message}", param=param)
