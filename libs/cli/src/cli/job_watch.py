"""Follows a job through the gateway with a live progress bar."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from service_kit.errors import DomainError

from cli.gateway_client import GatewayClient

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
POLL_SECONDS = 0.5


class JobEndedBadlyError(DomainError):
    """The job failed or was cancelled; the message has its own error and remedy."""

    reason = "JOB_ENDED_BADLY"


def watch_job(
    client: GatewayClient,
    job_id: str,
    title: str,
    console: Console,
    *,
    on_update: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Show the job's phases, rates and time left until it ends; return its last record.

    Raises:
        JobEndedBadlyError: it did not succeed.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task(title, total=None, figures="")
        while True:
            job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}")
            if on_update is not None:
                on_update(job)
            phase, done, total, figures = _shown(job)
            progress.update(
                task,
                description=f"{title}: {phase}",
                completed=done,
                total=total or None,
                figures=figures,
            )
            if job["status"] in TERMINAL:
                break
            time.sleep(POLL_SECONDS)
    if job["status"] != "succeeded":
        error = job.get("error") or {}
        words = (error.get("message", job["status"]), error.get("remedy", ""))
        raise JobEndedBadlyError(f"{title} {job_id}: {' '.join(w for w in words if w)}")
    return job


def _shown(job: dict[str, Any]) -> tuple[str, int, int, str]:
    progress = job.get("progress") or {}
    phase = progress.get("phase") or job["status"]
    return (
        phase,
        int(progress.get("done", 0)),
        int(progress.get("total", 0)),
        figures_line(progress),
    )


def figures_line(progress: dict[str, Any]) -> str:
    """Loss, rate and time left, of what a progress report has."""
    metrics: dict[str, float] = progress.get("metrics") or {}
    words = []
    if "loss" in metrics:
        words.append(f"loss {metrics['loss']:.3f}")
    if "learning_rate" in metrics:
        words.append(f"lr {metrics['learning_rate']:.1e}")
    if "tokens_per_second" in metrics:
        words.append(f"{metrics['tokens_per_second']:.0f} tokens/s")
    eta = progress.get("eta_seconds")
    if eta is not None:
        words.append(f"{eta:.0f} s left")
    return "  ".join(words)
