"""A run of a recipe by a command: shown as it goes, and with a report at its end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import TypeVar

from modelmill_client import Modelmill
from modelmill_hub.address import HubAddress
from modelmill_recipes.api import Record
from modelmill_recipes.errors import GateNotMetError
from modelmill_recipes.orders import step_names
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.run_recipe import RecipeResult, RecipeRun
from modelmill_recipes.run_record import RunRecord
from modelmill_recipes.run_report import run_document, run_report
from rich.console import Console

from modelmill_cli.commands.judges import ReadyJudge
from modelmill_cli.gateway import DEFAULT_TENANT, connect_locally
from modelmill_cli.hub_downloads import HubDownloads
from modelmill_cli.interrupts import interruptible
from modelmill_cli.logged_stack import logged_stack
from modelmill_cli.run_table import view_on
from modelmill_cli.stack import StackOptions
from modelmill_cli.state_folder import StateFolder

Made = TypeVar("Made")


@dataclass(frozen=True)
class EndedRun:
    """What a run made, also one that ended at a gate."""

    made: RecipeResult
    document: Record
    """The same for programs."""
    report: Path
    gate: str = ""
    """Which gate was not met."""


@dataclass(frozen=True)
class RecipeCall:
    """Runs a recipe against a gateway of this machine."""

    state: StateFolder
    recipe: Recipe
    console: Console
    move_alias: bool = False
    stopped: Event = field(default_factory=Event)
    """Set to end a download."""

    def __call__(self, client: Modelmill) -> EndedRun:
        """Run it, and write its report.

        Raises:
            DomainError: A step could not begin.
            ModelmillError: A job ended badly, or the gateway is away. What was done stays done.
        """
        recipe = self._with_tables()
        record = RunRecord.of(self.state.path / "recipes", recipe.name)
        gate = ""
        with view_on(self.console, step_names(recipe)) as view:
            run = RecipeRun(
                *(recipe, client, partial(view.follow, client)),
                *(partial(self._imported, client), record, view),
                open_judge=partial(ReadyJudge.of, client, is_shown=False),
            )
            try:
                run(move_alias=self.move_alias)
            except GateNotMetError as error:
                gate = error.message
        record.report.parent.mkdir(parents=True, exist_ok=True)
        record.report.write_bytes(run_report(recipe, run.made, client, client.url))
        ended = {"gate": gate or None, "report": str(record.report)}
        document = run_document(recipe, run.made, client, client.url) | ended
        return EndedRun(run.made, document, record.report, gate)

    def _imported(self, client: Modelmill, base: Path | HubAddress) -> str:
        from modelmill_cli.model_source import ModelSource

        source = ModelSource(self.state, self._downloads(), tenant=DEFAULT_TENANT)
        if isinstance(base, HubAddress):
            return source.of_hub_once(client, base)
        return asyncio.run(source.of(str(base), "")).version_id

    def _with_tables(self) -> Recipe:
        """The recipe with the datasets of hubs on this machine."""
        if not self.recipe.hub_files:
            return self.recipe
        downloads = self._downloads()
        fetched = [downloads.tables(each) for each in self.recipe.hub_files]
        return self.recipe.with_tables([file for each in fetched for file in each.files])

    def _downloads(self) -> HubDownloads:
        return HubDownloads(self.state, self.console, self.stopped)


def in_own_stack(
    state: StateFolder,
    options: StackOptions,
    console: Console,
    work: Callable[[Modelmill], Made],
    *,
    stopping: str,
    on_end: Callable[[], None] = lambda: None,
) -> Made:
    """Do work on NATS and the six services, started for it and stopped behind it.

    Args:
        work: Runs in a thread; Ctrl-C ends it at its next call.
        stopping: Said at Ctrl-C.
        on_end: Called when the work is to end.

    Raises:
        Interrupted: By Ctrl-C or SIGTERM.
        StackFailedError: A service ends again and again.
    """

    async def run() -> Made:
        log_file = state.path / "up.log"
        console.print(f"starting NATS and six services ({log_file} has their logs) ...")
        async with logged_stack(state, options, log_file) as stack:
            client = connect_locally(state, stack.runtime.http_url)
            try:
                return await asyncio.to_thread(work, client)
            finally:
                on_end()
                client.close()  # ends the thread at its next call

    return asyncio.run(interruptible(run(), lambda: console.print(stopping)))
