"""`mill`: run, feed, train, chat and watch Modelmill from a terminal."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from openai import OpenAIError
from rich.console import Console
from service_kit.errors import DomainError

from cli.commands import chat, demo, jobs, models, token, up
from cli.state_folder import DEFAULT_STATE_FOLDER, StateFolder

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From raw domain text to a served, guarded, monitored language model.",
)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("token")(token.token)
app.command("chat")(chat.chat)
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")


@app.callback()
def choose_state(
    context: typer.Context,
    state: Annotated[
        Path,
        typer.Option(envvar="MODELMILL_STATE", help="Folder that holds this machine's Modelmill."),
    ] = DEFAULT_STATE_FOLDER,
) -> None:
    context.obj = StateFolder(state.absolute())


def run() -> None:
    """Run `mill`; what a person can mend is one clear line and status 1."""
    try:
        app()
    except (DomainError, OSError, OpenAIError) as error:
        Console(stderr=True).print(f"[red]mill:[/red] {error}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    run()
