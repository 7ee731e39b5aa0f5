"""Into a dataset: a row's story, what two datasets do not have in common, the report."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import DiffDatasetsResponse, RowStory
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.http.downloads import download
from modelmill_gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    json_response,
)
from modelmill_gateway.ordering.show_datasets import ReadReport

MEDIA_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8"}
MAX_SAMPLES = 100
MAX_LINE = 2**53
"""What every client's numbers hold exactly."""

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""The page has texts of a tenant's in it: whatever they say, nothing of it runs or calls out."""


class DatasetStories(Protocol):
    """Who made the datasets; every call is for one tenant."""

    async def explain_row(
        self, *, tenant: str, dataset_id: str, line: int
    ) -> Sequence[RowStory]: ...
    async def diff_datasets(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str, samples: int
    ) -> DiffDatasetsResponse: ...
    def report(
        self, *, tenant: str, dataset_id: str, report_format: str, job_id: str
    ) -> AsyncIterator[bytes]: ...


class DatasetStoryRoutes:
    """/v1/datasets/{id}/rows, /diff and /report."""

    def __init__(self, stories: DatasetStories, read_report: ReadReport) -> None:
        self._stories = stories
        self._read_report = read_report

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "explain_row": self._explain,
            "diff_datasets": self._diff,
            "get_report": self._report,
        }

    async def _explain(self, request: Request) -> Response:
        dataset_id, line = request.path_params["dataset_id"], request.path_params["line"]
        stories = await self._stories.explain_row(
            tenant=caller_of(request).tenant,
            dataset_id=dataset_id,
            line=_whole_number(line, "line", lowest=1, highest=MAX_LINE),
        )
        view = {
            "object": "dataset.row",
            "dataset_id": dataset_id,
            "stories": [_story_view(story) for story in stories],
        }
        return json_response(view)

    async def _diff(self, request: Request) -> Response:
        samples = _whole_number(
            request.query_params.get("samples", "10"), "samples", lowest=1, highest=MAX_SAMPLES
        )
        found = await self._stories.diff_datasets(
            tenant=caller_of(request).tenant,
            dataset_id=request.path_params["dataset_id"],
            other_dataset_id=request.path_params["other_dataset_id"],
            samples=samples,
        )
        return json_response(_diff_view(found))

    async def _report(self, request: Request) -> Response:
        report_format = request.query_params.get("format", "json")
        if report_format not in MEDIA_TYPES:
            known = " or ".join(MEDIA_TYPES)
            raise BadRequestError(f"format must be {known}", param="format")
        chunks = self._read_report(
            tenant=caller_of(request).tenant,
            dataset_id=request.path_params["dataset_id"],
            report_format=report_format,
        )
        name = f"{request.path_params['dataset_id']}.{report_format}"
        policy = {"content-security-policy": PAGE_POLICY}
        return await download(chunks, name, MEDIA_TYPES[report_format], **policy)


def _story_view(story: RowStory) -> dict[str, Any]:
    return {
        "line": story.line,
        "source_sha256": story.source_sha256,
        "outcome": story.outcome,
        "rule": story.rule or None,
        "detail": story.detail or None,
        "changes": list(story.changes),
        "made_by": story.made_by or None,
        "split": story.split or None,
        "position": story.position if story.split else None,
        "row": json.loads(story.row_json) if story.row_json else None,
    }


def _diff_view(found: DiffDatasetsResponse) -> dict[str, Any]:
    return {
        "object": "dataset.diff",
        "same": found.same,
        "rows_common": found.rows_common,
        "rows_moved": found.rows_moved,
        "rows_removed": found.rows_removed,
        "rows_added": found.rows_added,
        "removed": [json.loads(row) for row in found.removed],
        "added": [json.loads(row) for row in found.added],
        "spec_changes": list(found.spec_changes),
    }


def _whole_number(written: str, name: str, *, lowest: int, highest: int) -> int:
    number = int(written) if written.isascii() and written.isdigit() and len(written) < 17 else -1
    if not lowest <= number <= highest:
        raise BadRequestError(f"{name} must be from {lowest} to {highest}", param=name)
    return number
