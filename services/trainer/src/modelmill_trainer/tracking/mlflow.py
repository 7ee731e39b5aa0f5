"""MLflow tracker over the REST API 2.0, without the mlflow package."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from modelmill_trainer.tracking.tracker import (
    LoggedStep,
    RunEnd,
    TrackedRunInfo,
    TrackerRun,
    TrackingError,
)

CALL_SECONDS = 10.0
MAX_METRICS, MAX_PARAMS = 1000, 100
"""API limits of one log-batch call."""
MAX_PARAM_CHARACTERS = 500
JOB_TAG = "modelmill.job_id"
STATUSES = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "RUNNING"}
"""An interrupted run stays RUNNING, because another attempt continues it."""


class Mlflow:
    """Creates MLflow runs, or finds the run of an earlier attempt by its job id tag.

    Args:
        client: HTTP client with the server as base URL, and credentials if needed.
        experiment: Created if it does not exist.
    """

    name = "mlflow"

    def __init__(self, client: httpx.AsyncClient, experiment: str) -> None:
        self._client = client
        self._experiment = experiment

    async def open(self, facts: TrackedRunInfo) -> TrackerRun:
        """See `Tracker`."""
        experiment_id = await self._experiment_id()
        run_id = await self._earlier(experiment_id, facts.job_id)
        if run_id is None:
            run_id = await self._create(experiment_id, facts)
        else:
            await self._call("runs/update", {"run_id": run_id, "status": "RUNNING"})
        params = [
            {"key": name, "value": str(value)[:MAX_PARAM_CHARACTERS]}
            for name, value in sorted(facts.choices.items())
        ]
        await self._call("runs/log-batch", {"run_id": run_id, "params": params[:MAX_PARAMS]})
        return _MlflowRun(self, run_id)

    async def _experiment_id(self) -> str:
        found = await self._call(
            "experiments/get-by-name", {"experiment_name": self._experiment}, may_miss=True
        )
        if found is None:
            found = await self._call(
                "experiments/create", {"name": self._experiment}, may_miss=True
            )
            if found is not None:
                return str(found["experiment_id"])
            # Another worker created it concurrently.
            found = await self._call(
                "experiments/get-by-name", {"experiment_name": self._experiment}
            )
        assert found is not None
        return str(found["experiment"]["experiment_id"])

    async def _earlier(self, experiment_id: str, job_id: str) -> str | None:
        asked = {
            "experiment_ids": [experiment_id],
            "filter": f"tags.`{JOB_TAG}` = '{job_id}'",
            "max_results": 1,
        }
        found = await self._call("runs/search", asked) or {}
        runs = found.get("runs") or ()
        return str(runs[0]["info"]["run_id"]) if runs else None

    async def _create(self, experiment_id: str, facts: TrackedRunInfo) -> str:
        tags = {
            "mlflow.source.name": "modelmill",
            JOB_TAG: facts.job_id,
            "modelmill.tenant": facts.tenant,
            **{f"modelmill.{role}": digest for role, digest in facts.made_from.items()},
        }
        made = await self._call(
            "runs/create",
            {
                "experiment_id": experiment_id,
                "run_name": facts.name,
                "start_time": _milliseconds(time.time()),
                "tags": [{"key": key, "value": value} for key, value in tags.items()],
            },
        )
        assert made is not None
        return str(made["run"]["info"]["run_id"])

    async def _call(
        self, method: str, body: Mapping[str, Any], *, may_miss: bool = False
    ) -> dict[str, Any] | None:
        """Call the API; None if `may_miss` and the resource is missing, or exists already.

        Raises:
            TrackingError: no response, or an error response.
        """
        path = f"/api/2.0/mlflow/{method}"
        try:
            if method.endswith("get-by-name"):
                response = await self._client.get(path, params=body, timeout=CALL_SECONDS)
            else:
                response = await self._client.post(path, json=body, timeout=CALL_SECONDS)
            answer: Any = response.json() if response.content else {}
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # Without the URL, which may carry a password.
            raise TrackingError(f"{method}: {type(error).__name__}") from error
        code = answer.get("error_code", "") if isinstance(answer, dict) else ""
        if may_miss and code in ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"):
            return None
        if not response.is_success or not isinstance(answer, dict):
            raise TrackingError(f"{method}: answered {response.status_code} {code}".rstrip())
        return answer

    async def log(self, run_id: str, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Log metrics, in batches of the API's limit."""
        for first in range(0, len(metrics), MAX_METRICS):
            part = list(metrics[first : first + MAX_METRICS])
            await self._call("runs/log-batch", {"run_id": run_id, "metrics": part})

    async def update(self, run_id: str, ending: RunEnd) -> None:
        """Set the final status and the artifact's digest."""
        if ending.digest:
            tag = {"run_id": run_id, "key": "modelmill.digest", "value": ending.digest}
            await self._call("runs/set-tag", tag)
        status = STATUSES[ending.status]
        over = {} if status == "RUNNING" else {"end_time": _milliseconds(time.time())}
        await self._call("runs/update", {"run_id": run_id, "status": status, **over})


class _MlflowRun:
    """One MLflow run."""

    def __init__(self, server: Mlflow, run_id: str) -> None:
        self._server = server
        self._run_id = run_id
        self._last_step = 0

    async def send(self, points: Sequence[LoggedStep]) -> None:
        await self._server.log(self._run_id, [each for p in points for each in _metrics(p)])
        self._last_step = points[-1].step

    async def close(self, ending: RunEnd) -> None:
        whole = LoggedStep(self._last_step, time.time(), ending.figures)
        await self._server.log(self._run_id, list(_metrics(whole)))
        await self._server.update(self._run_id, ending)


def _metrics(point: LoggedStep) -> Iterator[dict[str, Any]]:
    for name, value in point.figures.items():
        if math.isfinite(value):  # JSON has no NaN or infinity
            yield {
                "key": name,
                "value": value,
                "timestamp": _milliseconds(point.at_seconds),
                "step": point.step,
            }


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
