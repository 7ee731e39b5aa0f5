"""Import of a model from where it is: a folder of this machine, or a hub."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from modelmill_hub.address import HubAddress, is_hub_address
from modelmill_hub.fetch import FetchedModel
from modelmill_registry.model_folder import check_model_folder
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.nearest import did_you_mean_file
from rich.console import Console

from modelmill_cli.commands.models import bring_in
from modelmill_cli.hub_downloads import HubDownloads
from modelmill_cli.interrupts import interruptible
from modelmill_cli.state_folder import StateFolder

if TYPE_CHECKING:
    from modelmill.registry.v1.model_events_pb2 import ModelReady


def import_model_of(state: StateFolder, source: str, *, name: str, tenant: str) -> "ModelReady":
    """Import what the source names.

    Raises:
        InvalidInputError: It is neither a folder nor an address, or is refused.
        DomainError: A hub refuses it, or nothing runs on the state folder.
    """
    if not is_hub_address(source):
        folder = Path(source)
        if not folder.is_dir():
            raise InvalidInputError(
                f"{source} is no folder, and no address of a hub such as hf://org/name."
                f"{did_you_mean_file(folder.absolute())}"
            )
        return import_folder(state, folder, name=name or folder.name, tenant=tenant)
    address = HubAddress.parse(source)
    state.read_runtime()  # said before gigabytes come
    downloads = HubDownloads(state, Console(stderr=True, highlight=False))
    fetched = downloads.model(address)
    ready = import_fetched(state, fetched, name=name or fetched.name, tenant=tenant)
    downloads.forget(fetched)
    return ready


def import_fetched(
    state: StateFolder, fetched: FetchedModel, *, name: str, tenant: str
) -> "ModelReady":
    """Import what was downloaded; the download stays."""
    return import_folder(state, fetched.folder, name=name, tenant=tenant, origin=fetched.origin)


def import_folder(
    state: StateFolder,
    folder: Path,
    *,
    name: str,
    tenant: str,
    origin: Mapping[str, str] | None = None,
) -> "ModelReady":
    """Import a Hugging Face folder; Ctrl-C undoes it.

    Raises:
        InvalidInputError: The folder is refused.
        Interrupted: A signal came; nothing was imported.
    """
    for warning in check_model_folder(folder).warnings:
        typer.echo(f"warning: {warning}", err=True)
    bringing = bring_in(state, folder, name=name, tenant=tenant, origin=origin)

    def say_stopping() -> None:
        typer.echo("stopping; nothing was imported", err=True)

    return asyncio.run(interruptible(bringing, say_stopping))
