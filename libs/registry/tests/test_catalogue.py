"""The catalogues over a real broker: who sees what, repeats, retirement, rebuild."""

from typing import Any, Protocol

import pytest
from modelmill.registry.v1.model_events_pb2 import (
    DatasetReady,
    DatasetRetired,
    FileState,
    ModelReady,
    ModelRetired,
    ModelServing,
)
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import ReadModel
from modelmill_bus.subjects import (
    DATASET_READY,
    DATASET_RETIRED,
    MODEL_READY,
    MODEL_RETIRED,
    MODEL_SERVING,
    file_state,
)
from modelmill_registry.catalogue import DatasetCatalogue, FileCatalogue, ModelCatalogue
from modelmill_service_kit.errors import NotFoundError, UnavailableError
from modelmill_testkit.nats_server import NatsServer


class Following(Protocol):
    async def __call__(self, *models: ReadModel) -> None: ...


class Connect(Protocol):
    async def __call__(self) -> Bus: ...


async def announce(bus: Bus, version_id: str, **changes: Any) -> int:
    fields: dict[str, Any] = {"tenant": "acme", "name": "m", "form": "safetensors"} | changes
    return await bus.publish(MODEL_READY, ModelReady(version_id=version_id, **fields))


def ids(versions: list[ModelReady]) -> list[str]:
    return [version.version_id for version in versions]


async def test_a_tenant_sees_its_own_and_the_shared_models_newest_first(
    bus: Bus, following: Following
) -> None:
    models = ModelCatalogue(bus)
    await following(models)
    await announce(bus, "mv-base", tenant="shared")
    await announce(bus, "mv-1")
    await announce(bus, "mv-other", tenant="rival")
    await models.wait_for(await announce(bus, "mv-2"), timeout=10)

    assert ids(models.list("acme")) == ["mv-2", "mv-1", "mv-base"]
    assert models.get("acme", "mv-base").tenant == "shared"
    for tenant, version_id in (("acme", "mv-other"), ("rival", "mv-1"), ("acme", "mv-none")):
        with pytest.raises(NotFoundError):
            models.get(tenant, version_id)


async def test_a_version_that_is_announced_twice_counts_once(
    bus: Bus, following: Following
) -> None:
    models = ModelCatalogue(bus)
    await following(models)
    await announce(bus, "mv-1", name="first")
    await announce(bus, "mv-2")
    await models.wait_for(await announce(bus, "mv-1", name="first"), timeout=10)

    assert ids(models.list("acme")) == ["mv-2", "mv-1"]


async def test_builds_of_a_version_are_its_owners_of_the_asked_form(
    bus: Bus, following: Following
) -> None:
    models = ModelCatalogue(bus)
    await following(models)
    await announce(bus, "mv-base", tenant="shared")
    await announce(bus, "mv-a", form="adapter", parent_version_id="mv-base")
    await announce(bus, "mv-full", form="safetensors", parent_version_id="mv-base")
    await announce(bus, "mv-base-i8", form="openvino-int8", parent_version_id="mv-base")
    await announce(bus, "mv-i8", form="openvino-int8", parent_version_id="mv-a")
    await announce(bus, "mv-i4", form="openvino-int4", parent_version_id="mv-a")
    await announce(bus, "mv-onnx", form="onnx", parent_version_id="mv-a")
    last = await announce(
        bus, "mv-spy", tenant="rival", form="openvino-int8", parent_version_id="mv-a"
    )
    await models.wait_for(last, timeout=10)

    assert ids(models.builds_of("mv-a", "openvino")) == ["mv-i4", "mv-i8"]
    assert ids(models.builds_of("mv-a")) == ["mv-onnx", "mv-i4", "mv-i8"]
    assert models.builds_of("mv-base") == []
    assert ids(models.builds_of("mv-base", tenant="acme")) == ["mv-base-i8"]
    assert models.builds_of("mv-none") == []


async def test_a_retired_version_is_gone_but_only_its_owner_retires_it(
    bus: Bus, following: Following
) -> None:
    models = ModelCatalogue(bus)
    await following(models)
    await announce(bus, "mv-1")
    await bus.publish(MODEL_RETIRED, ModelRetired(version_id="mv-1", tenant="rival"))
    await models.wait_for(await announce(bus, "mv-2"), timeout=10)
    assert models.get("acme", "mv-1")

    await bus.publish(MODEL_RETIRED, ModelRetired(version_id="mv-1", tenant="acme"))
    await bus.publish(MODEL_RETIRED, ModelRetired(version_id="mv-1", tenant="rival"))
    await models.wait_for(await announce(bus, "mv-1"), timeout=10)
    with pytest.raises(NotFoundError, match="'mv-1' was retired"):
        models.get("acme", "mv-1")
    with pytest.raises(NotFoundError, match="no model"):
        models.get("rival", "mv-1")
    assert ids(models.list("acme")) == ["mv-2"]


async def test_what_is_retired_before_it_is_announced_stays_retired(
    bus: Bus, following: Following
) -> None:
    models, datasets = ModelCatalogue(bus), DatasetCatalogue(bus)
    await following(models, datasets)
    await bus.publish(MODEL_RETIRED, ModelRetired(version_id="mv-1", tenant="acme"))
    await models.wait_for(await announce(bus, "mv-1"), timeout=10)
    for tenant in ("acme", "rival"):
        retired = DatasetRetired(dataset_id="ds-1", tenant=tenant)
        await bus.publish(DATASET_RETIRED, retired)
    other = DatasetRetired(dataset_id="ds-2", tenant="rival")
    await bus.publish(DATASET_RETIRED, other)
    for dataset_id in ("ds-1", "ds-2"):
        ready = DatasetReady(dataset_id=dataset_id, tenant="acme")
        await datasets.wait_for(await bus.publish(DATASET_READY, ready), timeout=10)

    assert models.list("acme") == []
    assert [each.dataset_id for each in datasets.list("acme")] == ["ds-2"]
    assert datasets.has_retired("acme", "ds-1")
    assert not datasets.has_retired("acme", "ds-2")
    with pytest.raises(NotFoundError, match="'ds-1' was retired"):
        datasets.get("acme", "ds-1")
    assert datasets.get("acme", "ds-1", include_retired=True).dataset_id == "ds-1"
    with pytest.raises(NotFoundError, match="no dataset"):
        datasets.get("rival", "ds-1", include_retired=True)
    with pytest.raises(NotFoundError, match="no dataset"):
        datasets.get("rival", "ds-1")


async def test_what_was_made_from_a_version_is_found_for_every_tenant(
    bus: Bus, following: Following
) -> None:
    models = ModelCatalogue(bus)
    await following(models)
    await announce(bus, "mv-base", tenant="shared", base_version_id="mv-base")
    made = {"parent_version_id": "mv-base", "base_version_id": "mv-base"}
    await announce(bus, "mv-a", form="adapter", **made)
    await announce(bus, "mv-b", form="adapter", tenant="rival", **made)
    last = await announce(bus, "mv-c", parent_version_id="mv-a", base_version_id="mv-base")
    await models.wait_for(last, timeout=10)
    assert ids(models.made_from("mv-base")) == ["mv-a", "mv-b", "mv-c"]
    assert ids(models.made_from("mv-a")) == ["mv-c"]

    await bus.publish(MODEL_RETIRED, ModelRetired(version_id="mv-b", tenant="rival"))
    await models.wait_for(await announce(bus, "mv-d"), timeout=10)
    assert ids(models.made_from("mv-base")) == ["mv-a", "mv-c"]


async def test_files_and_datasets_come_from_one_stream_and_a_deleted_file_stays_deleted(
    bus: Bus, following: Following
) -> None:
    files, datasets = FileCatalogue(bus), DatasetCatalogue(bus)
    await following(files, datasets)
    for number in (1, 2):
        file = FileState(file_id=f"file-{number}", tenant="acme", filename=f"{number}.csv")
        await bus.publish(file_state(file.file_id), file)
    ready = DatasetReady(dataset_id="ds-1", tenant="acme", counts={"train": 3})
    await datasets.wait_for(await bus.publish(DATASET_READY, ready), timeout=10)
    deleted = FileState(file_id="file-1", tenant="acme", deleted=True)
    await bus.publish(file_state("file-1"), deleted)
    revived = FileState(file_id="file-1", tenant="acme", filename="again.csv")
    await files.wait_for(await bus.publish(file_state("file-1"), revived), timeout=10)

    assert [file.file_id for file in files.list("acme")] == ["file-2"]
    assert files.get("acme", "file-2").filename == "2.csv"
    assert [dataset.dataset_id for dataset in datasets.list("acme")] == ["ds-1"]
    assert datasets.get("acme", "ds-1").counts["train"] == 3
    assert files.list("rival") == datasets.list("rival") == []
    for ask in (
        lambda: files.get("acme", "file-1"),
        lambda: files.get("rival", "file-2"),
        lambda: datasets.get("rival", "ds-1"),
    ):
        with pytest.raises(NotFoundError):
            ask()


@pytest.mark.own_broker
async def test_a_new_process_rebuilds_the_catalogue_and_an_old_one_outlives_the_broker(
    nats: NatsServer, bus: Bus, connect: Connect, following: Following
) -> None:
    old = ModelCatalogue(bus)
    await following(old)
    await announce(bus, "mv-1")
    serving = ModelServing(version_id="mv-1", replica="r")
    await bus.publish(MODEL_SERVING, serving)  # the stream ends with what is not followed
    nats.kill()
    await nats.start()

    other = await connect()
    await old.wait_for(await announce(other, "mv-2"), timeout=20)
    new = ModelCatalogue(other)
    await following(new)

    assert ids(new.list("acme")) == ids(old.list("acme")) == ["mv-2", "mv-1"]


async def test_waiting_for_what_does_not_come_ends_with_the_deadline(
    bus: Bus, following: Following
) -> None:
    models = ModelCatalogue(bus)
    await following(models)
    with pytest.raises(UnavailableError):
        await models.wait_for(1, timeout=0.05)
