"""Weights & Biases tracker, by its own package (extra `wandb`); offline runs need no server."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modelmill_trainer.tracking.tracker import (
    LoggedStep,
    RunEnd,
    TrackedRunInfo,
    TrackerRun,
    TrackingError,
)

FAILED, FINISHED = 1, 0
"""Exit codes, which W&B reads as the status of a run."""


class WeightsAndBiases:
    """Project whose runs have the job's id; another attempt resumes its run.

    Without a key runs are offline: each attempt writes a folder of its own, which `wandb sync`
    sends later.

    Args:
        folder: W&B puts its runs into `wandb/` here.
        base_url: of a server of one's own; empty for W&B's.
    """

    name = "wandb"

    def __init__(
        self, project: str, folder: Path, *, api_key: str = "", base_url: str = ""
    ) -> None:
        self._project = project
        self._folder = folder
        self._is_online = bool(api_key)
        self._settings = {"api_key": api_key, "base_url": base_url}

    async def open(self, facts: TrackedRunInfo) -> TrackerRun:
        """See `Tracker`."""
        return _WandbRun(await _in_thread(self._begin, facts))

    def _begin(self, facts: TrackedRunInfo) -> Any:
        import wandb  # takes a second, and starts a process

        self._folder.mkdir(parents=True, exist_ok=True)
        given = {name: value for name, value in self._settings.items() if value}
        made_from = {f"modelmill.{role}": digest for role, digest in facts.made_from.items()}
        return wandb.init(
            project=self._project,
            id=facts.job_id,
            name=facts.name,
            group=facts.tenant,
            config={**facts.choices, **made_from, "modelmill.tenant": facts.tenant},
            mode="online" if self._is_online else "offline",
            dir=self._folder,
            resume="allow" if self._is_online else None,
            reinit="create_new",  # a worker has several jobs
            # Nothing of the machine or of the process is sent: only what a job reports.
            settings=wandb.Settings(
                **given,
                console="off",
                silent=True,
                save_code=False,
                disable_git=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )


class _WandbRun:
    """One run. W&B itself buffers and repeats what it sends."""

    def __init__(self, run: Any) -> None:
        self._run = run

    async def send(self, points: Sequence[LoggedStep]) -> None:
        await _in_thread(self._log, points)

    async def close(self, ending: RunEnd) -> None:
        await _in_thread(self._finish, ending)

    def _log(self, points: Sequence[LoggedStep]) -> None:
        for point in points:
            self._run.log(
                {f"train/{name}": value for name, value in point.figures.items()}, point.step
            )

    def _finish(self, ending: RunEnd) -> None:
        self._run.summary.update(dict(ending.figures))
        if ending.digest:
            self._run.summary["modelmill.digest"] = ending.digest
        if ending.status == "interrupted":
            self._run.mark_preempting()  # another attempt goes on with it
        self._run.finish(exit_code=FINISHED if ending.status == "finished" else FAILED)


async def _in_thread(work: Callable[..., Any], *arguments: object) -> Any:
    """Run a call of W&B in a thread: it waits for its own process.

    Raises:
        TrackingError: W&B failed, or its server refused.
    """
    try:
        return await asyncio.to_thread(work, *arguments)
    except Exception as error:  # its errors have no common class of their own
        raise TrackingError(f"{type(error).__name__}: {error}") from error
