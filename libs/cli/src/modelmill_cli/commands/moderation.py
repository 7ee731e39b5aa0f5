"""`mill moderation`: the tenant's policy, and what a policy would do to a file of texts."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from modelmill_client import types
from modelmill_guard.verdict import Action, Direction
from modelmill_service_kit.errors import InvalidInputError
from rich.console import Console
from rich.table import Table

from modelmill_cli.gateway import connect
from modelmill_cli.interrupts import interruptible
from modelmill_cli.output import AsJson, Columns, print_done, print_json, print_list
from modelmill_cli.policy_documents import as_sent, by_name, changed, read_documents
from modelmill_cli.state_folder import StateFolder, write_private
from modelmill_cli.tables import plain, print_table

if TYPE_CHECKING:
    from modelmill_guard.bundle import CompiledPolicy

    from modelmill_cli.policy_trial import Trial

ACTIONS = tuple(action.name.lower() for action in Action)

VERSIONS: Columns = {
    "version": lambda policy: policy["version"],
    "digest": lambda policy: policy["digest"] or "",
    "changed by": lambda policy: policy["changed_by"],
    "": lambda policy: _how(policy),
}
MAX_NAMED = 20
"""Lines that are named one by one; more are counted."""

app = typer.Typer(no_args_is_help=True, help="Manage the moderation policy.")

Expected = Annotated[
    str | None, typer.Option("--expect", help="Expected digest of the policy in force.")
]
Removed = Annotated[
    list[str] | None,
    typer.Option("--remove-default-rule", help="Default rule that may be removed; repeatable."),
]

Policies = Annotated[
    list[Path] | None,
    typer.Option(exists=True, dir_okay=False, help="YAML; default: what is in force."),
]
WithDefaults = Annotated[
    bool, typer.Option(help="Also apply the default rules that would be in force beside --policy.")
]


@app.command()
def show(
    context: typer.Context,
    version: Annotated[
        int, typer.Option(min=0, help="Version to show; 0 is the one in force.")
    ] = 0,
    output: Annotated[Path | None, typer.Option(help="Folder to write the documents to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the policy in force with its documents, or write them to a folder."""
    with connect(context.obj) as client:
        policy = client.policies.retrieve(version=version)
    typer.echo(_headline(policy), err=True)
    if output is not None:
        _write_documents(policy, output, as_json=as_json)
    elif as_json:
        print_json(policy)
    else:
        texts = [(each["name"], each["text"]) for each in policy["documents"]]
        beside = [("default rules beside them", it["text"]) for it in policy["default_documents"]]
        for name, text in [*texts, *beside]:
            typer.echo(f"# {name}\n{text.rstrip()}\n")


def _write_documents(policy: types.Policy, folder: Path, *, as_json: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for document in policy["documents"]:
        # The name is somebody else's word: only its last part may name a file of ours.
        file = folder / (Path(document["name"]).name or "policy.yaml")
        file.write_text(document["text"], encoding="utf-8")
        if as_json:
            print_json({"name": document["name"], "path": str(file)}, indent=None)
        else:
            typer.echo(str(file))


@app.command()
def apply(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="YAML file.")],
    dry_run: Annotated[bool, typer.Option(help="Only report what would change.")] = False,
    removed: Removed = None,
    expected: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Put YAML files in force, together one policy; what is refused changes nothing.

    The default rules stay in force beside them. Where some would not, they are listed, and you are
    asked whether they may go.
    """
    body: dict[str, Any] = {"documents": as_sent(read_documents(files)), "dry_run": dry_run}
    if expected is not None:
        body["expected_digest"] = expected
    with connect(context.obj) as client:
        change = changed(lambda sent: client.policies.set(**sent), body, removed)
    _print_change(change, dry_run=dry_run, as_json=as_json)


@app.command()
def versions(context: typer.Context, as_json: AsJson = False) -> None:
    """List the versions of your own policy, newest first."""
    with connect(context.obj) as client:
        print_list(client.policies.versions(), VERSIONS, as_json=as_json)


@app.command()
def revert(
    context: typer.Context,
    version: Annotated[int | None, typer.Argument(min=1, help="Version to revert to.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="Revert to the shared policy.")] = False,
    removed: Removed = None,
    expected: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Revert to an earlier version, or to the shared policy."""
    if (version is None) != shared:
        raise InvalidInputError("name a version, or say --shared")
    body: dict[str, Any] = {"shared": True} if version is None else {"version": version}
    if expected is not None:
        body["expected_digest"] = expected
    with connect(context.obj) as client:
        change = changed(lambda sent: client.policies.revert(**sent), body, removed)
    _print_change(change, dry_run=False, as_json=as_json)


@app.command("test")
def try_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="One text a line.")],
    policy: Policies = None,
    with_default_rules: WithDefaults = False,
    direction: Annotated[Direction, typer.Option(help="Direction of the texts.")] = Direction.INPUT,
    jsonl: Annotated[
        bool | None,
        typer.Option(
            "--jsonl/--text", help="Rows have `text` and maybe `label`; default: by name."
        ),
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="Number of examples of each rule.")] = 3,
    expect_all: Annotated[
        bool, typer.Option("--expect-all", help="Exit with status 1 unless every label is met.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Judge each line of a file, and say what each rule would do.

    A label is the action that a text should get (allow, flag, mask, block), or true or false for
    whether any rule should touch it.
    """
    from modelmill_cli.policy_trial import try_policy  # its detectors take a second to load

    compiled = _compiled(_judging(context, policy, with_default_rules=with_default_rules))
    if judges := compiled.judges(direction):
        names = ", ".join(judge.id for judge in judges)
        typer.echo(f"rules alone: judges are asked only where texts are served ({names})", err=True)
    as_rows = file.suffix == ".jsonl" if jsonl is None else jsonl
    trial = try_policy(compiled, file, direction, jsonl=as_rows, examples=examples)
    if as_json:
        print_json(trial.record())
    else:
        _print_trial(trial)
    wrong = [f"line {number} was to get another action" for number in trial.mismatches]
    for message in _named(wrong if expect_all else []):
        typer.echo(message, err=True)
    return 1 if expect_all and (trial.mismatches or trial.bad) else 0


@app.command()
def labelled(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(dir_okay=False, help="File to write; replaced if it exists.")
    ],
    tenant: Annotated[str | None, typer.Option(help="Filter by tenant.")] = None,
    direction: Annotated[
        Direction | None, typer.Option(help="Leave out texts of the other direction.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write reported texts with their labels, in the format of `mill moderation test`."""
    rows = asyncio.run(interruptible(_labelled(context.obj, tenant, direction), _say_stopping))
    write_private(file, "".join(f"{row}\n" for row in rows).encode())
    done = {"texts": len(rows), "path": str(file)}
    print_done(done, f"{len(rows):,} texts in {file}", as_json=as_json)


async def _labelled(
    state: StateFolder, tenant: str | None, direction: Direction | None
) -> list[str]:
    # The client of the bus takes long to load, and of these commands one talks to the bus.
    from modelmill_bus.bus import Bus

    from modelmill_cli.policy_trial import labelled_rows, reported

    runtime = state.read_runtime()
    async with Bus.connect(runtime.nats_url, runtime.identity("cli"), name="cli") as bus:
        return labelled_rows(await reported(bus, tenant), direction)


def _say_stopping() -> None:
    typer.echo("stopping; nothing was written", err=True)


def _judging(
    context: typer.Context, files: list[Path] | None, *, with_default_rules: bool
) -> dict[str, str]:
    """The documents of what judges: what is in force, or the files."""
    documents = read_documents(files) if files else {}
    if documents and not with_default_rules:
        typer.echo("the files alone: --with-default-rules adds the default rules", err=True)
        return documents
    with connect(context.obj) as client:
        if not documents:
            policy = client.policies.retrieve()
            typer.echo(_headline(policy), err=True)
            return by_name([*policy["documents"], *policy["default_documents"]])
        change = client.policies.set(documents=as_sent(documents), dry_run=True)
        return documents | by_name(change["default_documents"])


def _compiled(documents: dict[str, str]) -> "CompiledPolicy":
    from modelmill_guard.bundle import CompiledPolicy, compile_policy
    from modelmill_guard.policy import PolicyError, parse_policy

    try:
        bundle = compile_policy(parse_policy(documents))
    except PolicyError as error:
        raise InvalidInputError(error.errors) from error
    return CompiledPolicy.from_bundle(bundle.content, bundle.digest)


def _headline(policy: Mapping[str, Any]) -> str:
    owner = "the shared policy" if policy["tenant"] == "shared" else "your own policy"
    return f"{owner}, version {policy['version']}, {policy['digest'] or 'none'}"


def _how(policy: Mapping[str, Any]) -> str:
    if policy["follows_shared"]:
        return "back to the shared policy"
    back = policy["restores_version"]
    return f"version {back} again" if back else ""


def _print_change(change: Mapping[str, Any], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(change)
        return
    console = Console(highlight=False)
    for name, ids in change["changes"].items():
        if ids:
            console.print(f"{name.replace('_', ' ')}: {plain(', '.join(ids))}", soft_wrap=True)
    if gone := change["removed_default_rules"]:
        console.print(f"without default rules: {plain(', '.join(gone))}", soft_wrap=True)
    if asked := change.get("unconfirmed_default_rules"):
        console.print(f"to be let go by name: {plain(', '.join(asked))}", soft_wrap=True)
    if change["written"]:
        console.print(f"version {change['version']} is in force {change['digest'] or ''}".rstrip())
    elif dry_run:
        console.print("nothing was changed: a dry run")
    else:
        console.print("it was in force already")


def _print_trial(trial: "Trial") -> None:
    console = Console(highlight=False)
    shares = ", ".join(f"{trial.actions[action]:,} {action}" for action in ACTIONS)
    console.print(f"{trial.judged:,} texts: {shares}")
    if trial.rules:
        table = Table("rule", "category", "action", "texts", "matches")
        for rule_id, tally in sorted(trial.rules.items(), key=lambda item: -item[1].texts):
            numbers = f"{tally.texts:,}", f"{tally.matches:,}"
            table.add_row(plain(rule_id), plain(tally.category), tally.action, *numbers)
        print_table(table)
    for rule_id, tally in sorted(trial.rules.items()):
        for example in tally.examples:
            console.print(f"{plain(rule_id)}  {plain(example)}", soft_wrap=True)
    if trial.confusion:
        _print_confusion(console, trial)
    for message in _named([f"line {n} was left out: {plain(why)}" for n, why in trial.bad]):
        Console(stderr=True, highlight=False).print(message, soft_wrap=True)


def _print_confusion(console: Console, trial: "Trial") -> None:
    labels = [name for name in (*ACTIONS, "touched") if any(k[0] == name for k in trial.confusion)]
    table = Table("label \\ got", *ACTIONS)
    for label in labels:
        table.add_row(label, *(f"{trial.confusion[label, action]:,}" for action in ACTIONS))
    print_table(table)
    for name, share in (("precision", trial.precision), ("recall", trial.recall)):
        said = "none to measure" if share is None else f"{share:.4f}"
        console.print(f"{name} (touched or not): {said}")


def _named(messages: list[str]) -> list[str]:
    more = len(messages) - MAX_NAMED
    return messages[:MAX_NAMED] + ([f"and {more:,} lines more"] if more > 0 else [])
