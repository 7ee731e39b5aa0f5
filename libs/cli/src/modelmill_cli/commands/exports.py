"""`mill models export`: a version for programs that know nothing of Modelmill."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from modelmill_client import Modelmill
from modelmill_service_kit.errors import InvalidInputError

from modelmill_cli.gateway import connect
from modelmill_cli.output import AsJson, print_done
from modelmill_cli.short_ids import MODEL
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.tables import data_size

Version = Annotated[
    str, typer.Argument(metavar="MODEL", help="A version, or how its id begins, or a name.")
]

Push = Annotated[
    str,
    typer.Option(help="Also upload it as a commit, private where it is new: hf://org/name."),
]
AsBundle = Annotated[
    bool,
    typer.Option(
        "--bundle", help="With what answers alone, for edge devices; also as FILE.tar.zst."
    ),
]


def export(
    context: typer.Context,
    version: Version,
    folder: Annotated[
        Path | None, typer.Argument(help="Folder to make; none with --push alone.")
    ] = None,
    push: Push = "",
    bundle: AsBundle = False,
    as_json: AsJson = False,
) -> None:
    """Export a version as a folder that transformers, PEFT, vLLM, OpenVINO GenAI or Ollama loads.

    An adapter has its base beside it. Works on the machine that has the artifacts.
    """
    from modelmill_cli.model_export import export_version

    if bundle:
        _export_bundle(context.obj, version, folder, push, as_json=as_json)
        return
    if folder is None and not push:
        raise InvalidInputError("say where to export to: a folder, or --push hf://org/name")
    with connect(context.obj) as client:
        model = version_named(client, version)
        base = model.get("base_version_id") if model["form"] == "adapter" else ""
        base_digest = version_named(client, base)["digest"] if base else ""
    done = export_version(context.obj, model, folder, base_digest=base_digest, push=push)
    said = f"{done['path']}  {done['form']}  {data_size(done['bytes'])}"
    words = f"{done['pushed_to']}  {done['form']}  {data_size(done['bytes'])}" if push else said
    print_done(done, words, as_json=as_json)
    _say_unsigned(done)
    if folder is not None and not as_json:
        from modelmill_cli.model_export import usage_of

        typer.echo(usage_of(model["form"], folder), nl=False)


def _export_bundle(
    state: StateFolder, version: str, target: Path | None, push: str, *, as_json: bool
) -> None:
    from modelmill_registry.store import open_store

    from modelmill_cli.edge_bundle import write_bundle
    from modelmill_cli.model_export import export_signer

    if target is None or push:
        raise InvalidInputError(
            "a bundle is a folder or a file *.tar.zst. Give one, without --push"
        )
    with connect(state) as client:
        model = version_named(client, version)
    store = open_store(state.read_runtime().artifact_root, state.artifact_cache)
    sign = export_signer(state, store, model)
    done = write_bundle(store, model, target, sign=sign)
    record = {"id": model["id"], "form": model["form"], "path": str(target), "bytes": done.bytes}
    record |= {"signed_by": sign and sign.key}
    checked = "prompts are read as in training"
    if done.read_otherwise is None:
        checked = "not run here"
    elif done.read_otherwise:
        checked = f"read otherwise than in training: {', '.join(done.read_otherwise)}"
    words = f"{target}  {model['form']}  {data_size(done.bytes)}  {checked}"
    print_done(record | {"read_otherwise": done.read_otherwise}, words, as_json=as_json)
    _say_unsigned(record)
    if not as_json:
        typer.echo(done.usage, nl=False)


def _say_unsigned(done: Mapping[str, Any]) -> None:
    if done["signed_by"] is None:
        said = "not signed: `mill keys provenance` makes a key, and later exports can be verified"
        typer.echo(said, err=True)


def version_named(client: Modelmill, name: str) -> dict[str, Any]:
    """The version that an id or an alias stands for."""
    model: Any = client.models.retrieve(MODEL.full_id(client, name))
    if "version_id" in model:
        model = client.models.retrieve(model["version_id"])
    return dict(model)
