"""What a tenant used, in the shape of OpenAI's usage API."""

import time

from starlette.datastructures import QueryParams
from starlette.requests import Request

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.usage_rows import GROUPS, WIDTHS, UsageQuestion
from modelmill_gateway.entrypoints.http.requests import caller_of
from modelmill_gateway.entrypoints.schemas.usage import UsageBucket, UsagePage
from modelmill_gateway.spending.show_usage import ShowUsage

LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
"""Buckets of a page by their width: when nothing is said, and at most."""
OTHER_NAMES = {"key": "api_key_id", "caller": "user_id"}
FILTERS = {"models": "model", "api_key_ids": "api_key_id", "user_ids": "user_id"}
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
        if _values(given, name):
            raise _wrong(name, "this value is not supported", "unsupported_parameter")
    width = given.get("bucket_width", "1d")
    if width not in WIDTHS:
        raise _wrong("bucket_width", f"must be one of {', '.join(WIDTHS)}")
    start, end = _number(given, "start_time", None), _number(given, "end_time", now + 1)
    if end <= start:
        raise _wrong("end_time", "must be after start_time")
    usual, most = LIMITS[width]
    limit = _number(given, "limit", usual)
    if not 1 <= limit <= most:
        raise _wrong("limit", f"must be from 1 to {most} for buckets of {width}")
    return UsageQuestion(
        start=max(start, _page_start(given)),
        end=end,
        width=WIDTHS[width],
        limit=limit,
        group_by=_group_by(given),
        only={
            kept: frozenset(values)
            for name, kept in FILTERS.items()
            if (values := _values(given, name))
        },
    )


def _values(given: QueryParams, name: str) -> list[str]:
    """All values of a list, however a client writes lists."""
    written = [*given.getlist(name), *given.getlist(f"{name}[]")]
    return [value for each in written for value in each.split(",") if value]


def _group_by(given: QueryParams) -> tuple[str, ...]:
    names = [OTHER_NAMES.get(name, name) for name in _values(given, "group_by")]
    if any(name not in GROUPS for name in names):
        raise _wrong("group_by", f"must be of {', '.join((*GROUPS, *OTHER_NAMES))}")
    return tuple(dict.fromkeys(names))


def _number(given: QueryParams, name: str, default: int | None) -> int:
    written = given.get(name)
    if written is None and default is not None:
        return default
    if written is None or not (written.isascii() and written.isdigit() and len(written) < 11):
        raise _wrong(name, "must be a whole number" if written else "must be given")
    return min(int(written), LATEST)


def _page_start(given: QueryParams) -> int:
    written = given.get("page")
    if written is None:
        return 0
    number = written.removeprefix(PAGE)
    if number == written or not (number.isascii() and number.isdigit() and len(number) < 11):
        raise _wrong("page", "is none that was given out")
    return int(number)


def _wrong(param: str, message: str, code: str | None = None) -> BadRequestError:
    return BadRequestError(f"{param}: {message}", param=param, code=code)
