"""`mill models`: bring models in, list them, and give them names."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from modelmill_cli.commands.exports import Version, export, version_named
from modelmill_cli.default_model import make_default
from modelmill_cli.form_table import print_forms
from modelmill_cli.gateway import connect, own_tenant, warn_of_unknown_tenant
from modelmill_cli.output import AsJson, Columns, print_done, print_json, print_list, when
from modelmill_cli.short_ids import MODEL
from modelmill_cli.state_folder import StateFolder, owner_only
from modelmill_cli.tables import data_size, loading_words, plain, print_table

if TYPE_CHECKING:
    from modelmill.registry.v1.model_events_pb2 import ModelReady
    from modelmill_bus.bus import Bus
    from modelmill_registry.adapter_folder import AdapterBase
    from modelmill_registry.artifact_store import ArtifactStore

Source = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A folder, also of Hugging Face's cache, a GGUF file, or hf://org/name@revision.",
    ),
]
Default = Annotated[
    bool, typer.Option("--default", help="Make it the default model, in a faster form.")
]
FasterForm = Annotated[
    bool, typer.Option(help="Build that form, openvino-int8, which takes minutes; else as it is.")
]
Versions = Annotated[
    list[str],
    typer.Argument(
        metavar="VERSION...", help="One version or name, or several with weights: kinds=90 mv-b=10."
    ),
]
Shadow = Annotated[
    str | None,
    typer.Option(
        help="Shadow version, whose answers are discarded: VERSION, or VERSION=0.1 for a share."
    ),
]
Store = Annotated[
    bool, typer.Option("--store", help="Log requests and answers; `mill requests` shows them.")
]
Fallback = Annotated[
    list[str] | None,
    typer.Option(help="Fallback version, asked when the others cannot begin; repeatable."),
]


def wanted_alias(
    versions: list[str],
    shadow: str | None,
    fallback: list[str],
    full_id: Callable[[str], str],
) -> dict[str, Any]:
    """The request's body.

    Args:
        full_id: Of what a version is called; raises where there is none.

    Raises:
        InvalidInputError: several versions without weights, or a weight that is no number.
    """
    body: dict[str, Any] = {}
    if len(versions) == 1 and "=" not in versions[0]:
        body["version_id"] = full_id(versions[0])
    else:
        body["variants"] = [_variant(each, full_id) for each in versions]
    if shadow is not None:
        version_id, _, share = shadow.partition("=")
        body["shadow"] = {"version_id": full_id(version_id), "share": _number(share or "1", shadow)}
    if fallback:
        body["fallback"] = [full_id(each) for each in fallback]
    return body


def _variant(text: str, full_id: Callable[[str], str]) -> dict[str, Any]:
    """Named by its version, as answers call it."""
    version_id, equals, weight = text.rpartition("=")
    if not equals:
        raise InvalidInputError(f"{text}: several versions need weights, as in {text}=50")
    share = _number(weight, text)
    version_id = full_id(version_id)
    return {"name": version_id, "version_id": version_id, "weight": share}


def _number(text: str, said: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInputError(f"{said}: must end with a number, not {text!r}") from None


app = typer.Typer(no_args_is_help=True, help="Manage model versions and aliases.")

COLUMNS: Columns = {
    "id": lambda model: model["id"],
    "name": lambda model: model.get("name", ""),
    "form": lambda model: " ".join(
        [
            model.get("form", ""),
            *(["(slower)"] if model.get("slower_than_source") else []),
            *(["(loses too much)"] if model.get("loses_too_much") else []),
        ]
    ),
    "state": lambda model: loading_words(model),
    "size": lambda model: data_size(int(model["size_bytes"])) if "size_bytes" in model else "",
    "made from / names": lambda model: (
        model.get("parent_version_id") or model.get("version_id") or ""
    ),
}


@app.command("import")
def import_source(
    context: typer.Context,
    source: Source,
    name: Annotated[str, typer.Option(help="Display name.")] = "",
    tenant: Annotated[
        str,
        typer.Option(help="Owner; `shared` lets every tenant use it.", show_default="who asks"),
    ] = "",
    default: Default = False,
    build: FasterForm = True,
    base: Annotated[
        str, typer.Option(help="Version of an adapter's base, instead of the one that it names.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Import a model: a Hugging Face folder, or a hub's; safetensors only, no pickle, no code.

    A download that was interrupted is continued by the same command.
    """
    # The store, the client of the bus and that of a hub take long to load; few commands use them.
    from modelmill_cli.model_source import import_model_of

    owner = tenant or own_tenant(context.obj)
    warn_of_unknown_tenant(context.obj, owner)
    ready = import_model_of(context.obj, source, name=name, tenant=owner, base=base)
    made = {"id": ready.version_id, "name": ready.name, "size_bytes": ready.size_bytes}
    words = f"{ready.version_id}  {ready.name}  {data_size(ready.size_bytes)}"
    print_done(made, words, as_json=as_json)
    if default:
        with connect(context.obj) as client:
            make_default(client, ready.version_id, build=build, as_json=as_json)
    elif not as_json:
        typer.echo(f"next   mill optimize {ready.version_id} builds a form that answers faster")


async def bring_in(
    state: StateFolder,
    folder: Path,
    *,
    name: str,
    tenant: str,
    origin: Mapping[str, str] | None = None,
) -> "ModelReady":
    """Copy a model folder into the artifact store of a running instance and announce it.

    Args:
        origin: What a hub said of it, for the manifest.
    """
    from modelmill_registry.model_folder import import_model

    async with _store_of(state) as (bus, store, try_out):
        return await import_model(
            bus, store, folder, tenant=tenant, name=name, try_out=try_out, origin=origin or {}
        )


async def bring_in_adapter(
    state: StateFolder,
    folder: Path,
    base: "AdapterBase",
    *,
    name: str,
    tenant: str,
    origin: Mapping[str, str] | None = None,
) -> "ModelReady":
    """As `bring_in`, of a PEFT adapter over a version."""
    from modelmill_registry.adapter_folder import import_adapter

    async with _store_of(state) as (bus, store, try_out):
        return await import_adapter(
            bus,
            store,
            folder,
            base,
            tenant=tenant,
            name=name,
            try_out=try_out,
            origin=origin or {},
        )


@asynccontextmanager
async def _store_of(
    state: StateFolder,
) -> AsyncIterator[tuple["Bus", "ArtifactStore", Callable[[Path], None]]]:
    """Bus and artifact store of a running instance, and what tries tokenizers out."""
    from modelmill_bus.bus import Bus
    from modelmill_registry.store import open_store
    from modelmill_tokenization.bounded.here import try_tokenizer

    runtime = state.read_runtime()
    async with Bus.connect(runtime.nats_url, runtime.identity("cli"), name="cli") as bus:
        store = open_store(runtime.artifact_root, state.artifact_cache)
        try:
            with owner_only():
                yield bus, store, try_tokenizer
        except asyncio.CancelledError:
            store.abandon()  # its thread would go on copying, and hold up our end
            raise


@app.command("list")
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """List model versions, newest first."""
    with connect(context.obj) as client:
        print_list(client.models.list(), COLUMNS, as_json=as_json)


@app.command()
def alias(
    context: typer.Context,
    name: str,
    versions: Versions,
    shadow: Shadow = None,
    fallback: Fallback = None,
    store: Store = False,
    as_json: AsJson = False,
) -> None:
    """Set an alias to one version or several; all are loaded before the alias moves."""
    with connect(context.obj) as client:
        full_id = partial(MODEL.full_id, client)
        body = wanted_alias(versions, shadow, fallback or [], full_id)
        if store:
            body["store"] = True
        moved = client.aliases.set(name, **body)
    said = [" ".join(versions)]
    said += [f"shadow {shadow}"] if shadow else []
    said += [f"fallback {' '.join(fallback)}"] if fallback else []
    said += ["requests are logged"] if store else []
    print_done(moved, f"{name} -> {', '.join(said)}", as_json=as_json)


@app.command()
def unalias(context: typer.Context, name: str, as_json: AsJson = False) -> None:
    """Delete an alias; its versions stay."""
    with connect(context.obj) as client:
        print_done(client.aliases.delete(name), f"{name}: no alias any more", as_json=as_json)


@app.command()
def delete(context: typer.Context, version: Version, as_json: AsJson = False) -> None:
    """Retire a version with its builds, or delete an alias; what is in use stays."""
    with connect(context.obj) as client:
        version = MODEL.full_id(client, version)
        gone = client.models.delete(version)
    words = " ".join([f"{version}: deleted", *gone["version_ids"]])
    print_done(gone, words, as_json=as_json)


@app.command()
def diff(context: typer.Context, first: Version, second: Version, as_json: AsJson = False) -> None:
    """Compare two versions: what they were made of, how, and what was measured."""
    from modelmill_cli.model_diff import difference

    with connect(context.obj) as client:
        found = difference(client, *(version_named(client, each) for each in (first, second)))
    if as_json:
        print_json(found)
        return
    for part in ("fields", "spec", "metrics"):
        table = Table(part, found["first"], found["second"], *["change"] * (part == "metrics"))
        for name, values in found[part].items():
            cells = ("" if each is None else str(each) for each in values)
            table.add_row(name.replace("_", " "), *map(plain, cells))
        if table.rows:
            print_table(table)
    if not any(found[part] for part in ("fields", "spec", "metrics")):
        typer.echo("nothing differs")


@app.command()
def show(context: typer.Context, version: Version, as_json: AsJson = False) -> None:
    """Show a version or name: its lineage and its metrics."""
    with connect(context.obj) as client:
        model = version_named(client, version)
    if as_json:
        print_json(model)
        return
    table = Table(show_header=False, box=None)
    for name, value in model.items():
        if name not in ("metrics", "object", "loading") and value not in (None, "", [], {}):
            table.add_row(
                name.replace("_", " ").removesuffix(" bytes"), escape(_shown(name, value))
            )
    if words := loading_words(model):
        table.add_row("state", words)
    print_table(table)
    figures = Table("measured", "")
    for name, figure in sorted((model.get("metrics") or {}).items()):
        figures.add_row(name, f"{figure:,.6g}")
    if figures.rows:
        print_table(figures)


def _shown(name: str, value: object) -> str:
    """A field of a model as people write it."""
    if name == "created" and isinstance(value, int):
        return when(value)
    if name == "size_bytes" and isinstance(value, int):
        return data_size(value)
    if name == "capabilities" and isinstance(value, Mapping):
        able = [key if had is True else f"{key} {had}" for key, had in value.items() if had]
        return ", ".join(able).replace("_", " ")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@app.command()
def forms(context: typer.Context, version: Version, as_json: AsJson = False) -> None:
    """Compare forms of a model by size, speed and quality lost, with the Pareto frontier."""
    with connect(context.obj) as client:
        found = client.models.forms(MODEL.full_id(client, version))
    if as_json:
        print_json(found)
    else:
        print_forms(found)


@app.command()
def card(
    context: typer.Context,
    version: Version,
    output: Annotated[Path | None, typer.Option(help="File to write to instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a model card."""
    with connect(context.obj) as client:
        found = client.models.card(MODEL.full_id(client, version))
    text = found["card"]
    if text is None:
        raise NotFoundError(
            "this version has no card: it was imported, or made before cards. `mill models show`"
            " shows what is known of it"
        )
    if as_json:
        print_json({"id": found["id"], "card": text})
    elif output is not None:
        output.write_text(text, encoding="utf-8")
    # Through rich for people, as it is for pipes.
    elif sys.stdout.isatty():
        Console().print(Markdown(text.partition("---\n")[2].partition("---\n")[2] or text))
    else:
        typer.echo(text)


app.command()(export)
