"""Follows a job through the gateway, and shows how it goes."""

from collections.abc import Callable
from functools import partial
from typing import Any

from modelmill_service_kit.errors import UnavailableError
from rich.console import Console
from rich.markup import escape

from modelmill_cli.errors import GatewayError, JobEndedBadlyError
from modelmill_cli.gateway_client import GatewayClient
from modelmill_cli.job_display import display_on
from modelmill_cli.job_events import follow_job
from modelmill_cli.job_words import advice_words, error_words, log_tail, turn_words
from modelmill_cli.live_words import LOOK_SECONDS, LiveWords
from modelmill_cli.loss_curve import LossCurve


def watch_job(
    client: GatewayClient,
    job_id: str,
    title: str,
    console: Console,
    *,
    on_figures: Callable[[dict[str, Any]], None] = lambda _: None,
    turn_seconds: float = LOOK_SECONDS,
) -> dict[str, Any]:
    """Show the job's phases, figures and losses until it ends; return its record.

    Args:
        on_figures: called with what each progress report has: phase, step, total_steps, metrics.
        turn_seconds: while it waits, between two looks at where.

    Raises:
        JobEndedBadlyError: it did not succeed.
    """
    curve, words = LossCurve(), ""
    with display_on(console, title) as display:
        ask = partial(_turn_now, client, job_id)
        with LiveWords(ask, lambda it: display.show(figures=it), turn_seconds) as turn:
            for event in follow_job(client, job_id):
                facts = event.get("data") or {}
                turn.waits("phase" not in facts and facts.get("status") == "queued")
                if "phase" not in facts:
                    phase = facts.get("status") or event.get("message", "")
                    display.show(phase=phase, figures=words)
                    continue
                curve.observe(facts)
                on_figures(facts)
                words = f"{figures_line(facts, facts.get('eta_seconds'))}  {curve.sparkline()}"
                step, total = (int(facts.get(field) or 0) for field in ("step", "total_steps"))
                display.show(phase=facts["phase"], figures=words, step=step, total=total)
    curve.draw(console)
    return _ended_well(client.get(f"/v1/jobs/{job_id}"), title, console)


def _turn_now(client: GatewayClient, job_id: str) -> str:
    """Where the job waits; empty when it does not, or nobody answers yet."""
    try:
        return turn_words(client.get(f"/v1/jobs/{job_id}"))
    except (GatewayError, UnavailableError):
        return ""  # whoever follows the events waits for the gateway, or says what is wrong


def _ended_well(job: dict[str, Any], title: str, console: Console) -> dict[str, Any]:
    if job["status"] != "succeeded":
        if log_tail(job):
            console.print(log_tail(job), markup=False, highlight=False)
        raise JobEndedBadlyError(f"{title} {job['id']}: {error_words(job) or job['status']}")
    if advice := advice_words(job):
        console.print(f"[yellow]{title}[/yellow]: {escape(advice)}", soft_wrap=True)
    return job


def figures_line(metrics: dict[str, Any], eta_seconds: float | None) -> str:
    """Loss, rate and time left, of what a progress report has."""
    words = []
    if "loss" in metrics:
        words.append(f"loss {metrics['loss']:.3f}")
    if "learning_rate" in metrics:
        words.append(f"lr {metrics['learning_rate']:.1e}")
    if "tokens_per_second" in metrics:
        words.append(f"{metrics['tokens_per_second']:.0f} tokens/s")
    if eta_seconds is not None and eta_seconds >= 0:
        words.append(f"{eta_seconds:.0f} s left")
    return "  ".join(words)
