"""Models and aliases are deleted by whatever name they are listed under, and by nobody else."""

import openai
import pytest
from gateway_support.house import BUILD, TUNED, House
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_deleted_model_can_no_longer_be_asked_for(house: House):
    client = house.openai(tenant="retires")
    await house.say_model("mv-mine-1", tenant="retires", name="old", form="openvino-int8")

    async def known() -> bool:
        return "mv-mine-1" in [model.id async for model in client.models.list()]

    await eventually(known)
    deleted = await client.models.delete("mv-mine-1")

    assert (deleted.id, deleted.object, deleted.deleted) == ("mv-mine-1", "model", True)
    assert not await known()
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("old")


async def test_a_model_in_use_stays_and_the_refusal_says_who_needs_it(house: House):
    house.trainer.in_use = "mv-mine-2"
    refused = await house.http().delete("/v1/models/mv-mine-2")

    assert refused.status_code == 409
    assert "alias 'live'" in refused.json()["error"]["message"]


async def test_a_model_is_deleted_by_its_name_if_one_version_bears_it(house: House):
    client = house.http(tenant="names")
    for version, of in (
        ("mv-mine-once", ""),
        ("mv-mine-once-int8", "mv-mine-once"),
        ("mv-mine-two", ""),
    ):
        form = "openvino-int8" if of else "adapter"
        name = version.split("-")[2]
        fields = {"name": name, "form": form, "parent_version_id": of}
        await house.say_model(version, tenant="names", **fields)
    await house.say_model("mv-mine-twice", tenant="names", name="two", form="adapter")

    async def known() -> bool:
        return (await client.get("/v1/models/mv-mine-twice")).is_success

    await eventually(known)
    deleted = await client.delete("/v1/models/once")
    assert deleted.is_success, deleted.text
    assert deleted.json()["version_ids"] == ["mv-mine-once"]

    refused = await client.delete("/v1/models/two")
    assert refused.status_code == 409
    for version in ("mv-mine-two", "mv-mine-twice"):
        assert version in refused.json()["error"]["message"]
    # Shared by somebody else.
    assert (await client.delete("/v1/models/tiny")).status_code == 404


@pytest.mark.parametrize("path", ["/v1/aliases", "/v1/models"])
async def test_an_alias_is_deleted_and_what_it_meant_stays(house: House, path: str):
    client = house.http(tenant=f"unnames-{path.rpartition('/')[2]}")
    for name in ("gone", "default"):
        moved = await client.put(f"/v1/aliases/{name}", json={"version_id": TUNED})
        assert moved.is_success

    for name in ("gone", "default"):
        deleted = await client.delete(f"{path}/{name}")
        assert (deleted.status_code, deleted.json()["deleted"]) == (200, True)
        assert (await client.delete(f"{path}/{name}")).status_code == 404
    assert (await client.get("/v1/models/gone")).status_code == 404
    assert (await client.get(f"/v1/models/{TUNED}")).is_success
    listed = (await client.get("/v1/aliases")).json()["data"]
    # The shared one, which was hidden.
    assert [(alias["name"], alias["version_id"]) for alias in listed] == [("default", BUILD)]
    body = {"prompt": "hi"}
    assert (await client.post("/generate", json=body)).headers["x-model-version"] == BUILD
