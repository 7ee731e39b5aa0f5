"""The command line app: commands, exit statuses and one-line errors."""

import re
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from modelmill_client import ApiStatusError, JobFailedError, ModelmillError
from modelmill_service_kit.errors import DomainError, InvalidInputError
from typer.exceptions import TyperException
from typer.main import get_command

from modelmill_cli.commands import (
    alerts,
    audit,
    backup,
    batches,
    bus,
    capacity,
    chat,
    console,
    data,
    demo,
    doctor,
    evaluate,
    experiments,
    feedback,
    files,
    jobs,
    keys,
    logs,
    models,
    moderation,
    recipes,
    requests,
    state,
    status,
    store,
    support,
    tenants,
    train,
    up,
    usage,
    verify,
    webhooks,
    whoami,
)
from modelmill_cli.errors import WorkFailedError, say_system_error
from modelmill_cli.interrupts import Interrupted
from modelmill_cli.state_folder import DEFAULT_STATE_FOLDER, StateFolder

WORK_FAILED = 1
"""What was asked for was begun and ended badly."""
CANNOT = 2
"""It could not be begun; the message says what to do."""
INTERRUPTED = 130
COMMANDS_OF = {"datasets": "data", "batches": "batch", "aliases": "models", "logs": "requests"}
"""Where a command has another name than its route."""
LISTED_BY = re.compile(
    r"GET /v1/(models|aliases|experiments|logs|tenants|datasets|files|jobs|keys|webhooks|batches)"
    r"(?:\?kind=\w+)? lists"
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Build, serve, guard and monitor a language model from raw domain text.",
    epilog="Exit status: 0 done; 1 begun and ended badly; 2 could not begin; 130 interrupted.",
)
app.command("up")(up.up)
app.command("alerts")(alerts.alerts)
app.command("logs")(logs.logs)
app.command("audit")(audit.audit)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("feedback")(feedback.feedback)
app.command("run")(recipes.run)
app.command("capacity")(capacity.capacity)
app.command("token")(keys.token)
app.command("certs")(keys.certs)
app.command("chat", context_settings={"allow_extra_args": True})(chat.chat)
app.command("console")(console.console)
app.command("train")(train.train)
app.command("optimize")(train.optimize)
app.command("status")(status.status)
app.command("support")(support.support)
app.command("usage")(usage.usage)
app.command("verify")(verify.verify)
app.command("whoami")(whoami.whoami)
app.add_typer(usage.app, name="budget")
app.add_typer(batches.app, name="batch")
app.add_typer(bus.app, name="bus")
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="eval")
app.add_typer(experiments.app, name="experiments")
app.add_typer(files.app, name="files")
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(models.app, name="models")
app.add_typer(moderation.app, name="moderation")
app.add_typer(recipes.app, name="recipe")
app.add_typer(requests.app, name="requests")
app.add_typer(store.app, name="store")
app.add_typer(state.app, name="state")
app.add_typer(tenants.app, name="tenants")
app.add_typer(webhooks.app, name="webhooks")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"mill {version('modelmill')}")
        raise typer.Exit


@app.callback()
def choose_state(
    context: typer.Context,
    state: Annotated[
        Path,
        typer.Option(
            envvar="MODELMILL_STATE",
            readable=False,  # not checked here: `StateFolder` says more about what is wrong
            help="Folder that holds this machine's Modelmill.",
        ),
    ] = DEFAULT_STATE_FOLDER,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, help="Print the version."),
    ] = False,
) -> None:
    context.obj = StateFolder(state.resolve())


def run_app(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what a person can mend is one line on stderr for each thing to mend."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = _commands()(arguments, standalone_mode=False)
        return status if isinstance(status, int) else 0
    except (Interrupted, KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return WORK_FAILED  # whoever read our output has gone, and knows why
    except (DomainError, ModelmillError, TyperException, OSError) as error:
        for line in _lines_of(error):
            typer.secho("mill: ", fg=typer.colors.RED, nl=False, err=True)
            typer.echo(line, err=True)
        return WORK_FAILED if isinstance(error, WorkFailedError | JobFailedError) else CANNOT


@cache
def _commands() -> Callable[..., object]:
    """Typer reads the signatures of all commands anew each time that it is asked for them."""
    return get_command(app)


def _lines_of(error: Exception) -> Iterator[str]:
    if isinstance(error, InvalidInputError):
        yield from map(_one_line, error.errors)
    elif isinstance(error, TyperException):
        # Pydantic's own words, before what a choice of ours says.
        said = _one_line(error.format_message().replace("Value error, ", "")).rstrip(".")
        if said.startswith("Missing ") and (wanted := _help_of(error)):
            said = f"{said}: {wanted}"
        asked = _asked_of(error)
        if getattr(error, "option_name", None) == "--state" and asked != "mill":
            yield f"--state stands before the command. Say: mill --state FOLDER {asked[5:]}"
        elif said:  # else help was asked for, by saying nothing
            end = "" if said.endswith("?") else "."
            yield f"{said}{end} `{asked} --help` lists what there is"
    elif isinstance(error, ApiStatusError) and len(error.errors) > 1:
        about = f"{error.call}: {error.status}: "
        yield from (_one_line(about + _by_command(each)) for each in error.errors)
    elif isinstance(error, OSError):
        yield _one_line(say_system_error(error))
    else:
        yield _one_line(_by_command(str(error)))


def _by_command(text: str) -> str:
    """The API's words with the command that lists, where they name a route."""
    return LISTED_BY.sub(
        lambda found: f"`mill {COMMANDS_OF.get(found[1], found[1])} list` lists", text
    )


def _help_of(error: TyperException) -> str:
    """What its parameter is for, as `--help` says it in its first sentence."""
    words = getattr(getattr(error, "param", None), "help", None) or ""
    return _one_line(words).split(". ")[0].rstrip(".")


def _asked_of(error: TyperException) -> str:
    """The command that did not understand, as it is typed; how `mill` was started is left out."""
    names: list[str] = []
    context = getattr(error, "ctx", None)
    while context is not None and context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    return " ".join(["mill", *names])


def _one_line(text: str) -> str:
    """Names of files and words of others may hold anything, also what a terminal obeys."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
