"""Import of a model from where it is: a folder of this machine, or a hub."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from modelmill_client import ApiStatusError, Modelmill
from modelmill_hub.address import HubAddress, is_hub_address
from modelmill_hub.cached_snapshot import CachedSnapshot
from modelmill_hub.fetch import FetchedModel
from modelmill_hub.kept import forget, imported_versions
from modelmill_registry.adapter_folder import AdapterBase, base_named_by, is_adapter
from modelmill_registry.model_folder import check_model_folder
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.nearest import did_you_mean_file
from rich.console import Console

from modelmill_cli.commands.models import bring_in, bring_in_adapter
from modelmill_cli.gateway import connect
from modelmill_cli.gguf_source import made_of_gguf
from modelmill_cli.hub_downloads import HubDownloads, downloads_of
from modelmill_cli.short_ids import MODEL
from modelmill_cli.state_folder import StateFolder, owner_only

if TYPE_CHECKING:
    from modelmill.registry.v1.model_events_pb2 import ModelReady

GONE = 404


class ModelSource:
    """Imports into the store of a running instance.

    Args:
        base: Version of an adapter's base; empty for the one that the adapter names.
    """

    def __init__(
        self, state: StateFolder, downloads: HubDownloads, *, tenant: str, base: str = ""
    ) -> None:
        self._state = state
        self._downloads = downloads
        self._tenant = tenant
        self._base = base

    async def of(self, source: str, name: str) -> "ModelReady":
        """Import a folder, a snapshot of Hugging Face's cache, or what an address names.

        Raises:
            InvalidInputError: It is neither, or is refused.
            DomainError: A hub refuses it, or nothing runs on the state folder.
        """
        if is_hub_address(source):
            address = HubAddress.parse(source)
            self._state.read_runtime()  # said before gigabytes come
            return await self.of_hub(address, name)
        snapshot = CachedSnapshot.at(Path(source))
        if snapshot is not None:
            return await self._of_snapshot(snapshot, name)
        folder = await asyncio.to_thread(self._local_folder, Path(source))
        return await self._of_folder(folder, name or _name_of(Path(source)), {})

    async def _of_snapshot(self, snapshot: CachedSnapshot, name: str) -> "ModelReady":
        scratch = downloads_of(self._state)
        with owner_only():
            scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="snapshot-", dir=scratch) as plain:
            fetched = await asyncio.to_thread(snapshot.plain_copy, Path(plain))
            folder = await asyncio.to_thread(self._folder_of, fetched)
            return await self._of_folder(folder, name or fetched.name, fetched.origin)

    def _local_folder(self, path: Path) -> Path:
        """The folder that a path names, or the one that is made of a GGUF file."""
        if path.suffix.lower() == ".gguf" and path.is_file():
            return made_of_gguf(self._state, path)
        if not path.is_dir():
            raise InvalidInputError(
                f"{path} is no folder, and no address of a hub such as hf://org/name."
                f"{did_you_mean_file(path.absolute())}"
            )
        return path.resolve()

    async def of_hub(self, address: HubAddress, name: str = "") -> "ModelReady":
        """Download, import, and delete the download; it stays until it is imported."""
        fetched = await asyncio.to_thread(self._downloads.model, address)
        name = name or fetched.name
        ready = await self._of_folder(self._folder_of(fetched), name, fetched.origin)
        imports = self._downloads.imports(address, fetched.commit)
        imports.note(self._tenant, name, ready.version_id)
        forget(fetched.folder)
        return ready

    def of_hub_once(self, client: Modelmill, address: HubAddress) -> str:
        """The version of an address: one that was imported before, or a new one."""
        repository = self._downloads.look_up(address)
        imports = self._downloads.imports(address, repository.commit)
        version_id = imports.version_id(self._tenant, address.name)
        if version_id and _exists(client, version_id):
            return version_id
        return asyncio.run(self.of_hub(address.at(repository.commit))).version_id

    def _folder_of(self, fetched: FetchedModel) -> Path:
        if fetched.form != "gguf":
            return fetched.folder
        (file,) = fetched.folder.rglob("*.gguf")
        return made_of_gguf(self._state, file)

    async def _of_folder(self, folder: Path, name: str, origin: Mapping[str, str]) -> "ModelReady":
        if is_adapter(folder):
            base = await self._adapter_base(folder)
            return await bring_in_adapter(
                self._state, folder, base, name=name, tenant=self._tenant, origin=origin
            )
        for warning in check_model_folder(folder).warnings:
            typer.echo(f"warning: {warning}", err=True)
        return await bring_in(self._state, folder, name=name, tenant=self._tenant, origin=origin)

    async def _adapter_base(self, folder: Path) -> AdapterBase:
        """The base by --base, or the one that the adapter names, which may have to be fetched."""
        version_id = self._base or await asyncio.to_thread(self._named_base, folder)
        if not version_id:
            ready = await self.of_hub(HubAddress.parse(f"hf://{base_named_by(folder)}"))
            return AdapterBase(
                ready.version_id, ready.version_id, ready.digest, ready.context_tokens
            )
        with connect(self._state) as client:
            model: Any = client.models.retrieve(MODEL.full_id(client, version_id))
            if "version_id" in model:
                model = client.models.retrieve(model["version_id"])
        root = model.get("base_version_id") or model["id"]
        return AdapterBase(model["id"], root, model["digest"], int(model["context_tokens"]))

    def _named_base(self, folder: Path) -> str:
        """A version of the base that the adapter names; empty where none was imported.

        Raises:
            InvalidInputError: It names none that a hub could have.
        """
        named = base_named_by(folder)
        try:
            address = HubAddress.parse(f"hf://{named}")
        except InvalidInputError:
            raise InvalidInputError(
                f"the adapter names its base {named!r}, which is no repository of a hub. Import"
                " that model and give it by --base"
            ) from None
        with connect(self._state) as client:
            known = imported_versions(downloads_of(self._state), address, self._tenant)
            return next((each for each in known if _exists(client, each)), "")


def _name_of(path: Path) -> str:
    return path.stem if path.suffix.lower() == ".gguf" else path.name


def import_model_of(
    state: StateFolder, source: str, *, name: str, tenant: str, base: str = ""
) -> "ModelReady":
    """Import what a command names; Ctrl-C undoes it, but for what was downloaded."""
    downloads = HubDownloads(state, Console(stderr=True, highlight=False))
    importing = ModelSource(state, downloads, tenant=tenant, base=base).of(source, name)
    return downloads.run(importing)


def _exists(client: Modelmill, version_id: str) -> bool:
    try:
        client.models.retrieve(version_id)
    except ApiStatusError as error:
        if error.status == GONE:
            return False
        raise
    return True
