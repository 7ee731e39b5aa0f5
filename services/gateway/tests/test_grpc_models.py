"""Models and names over gRPC."""

import asyncio
from typing import Any

import grpc
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused
from gateway_support.house import ADAPTER, BASE, BUILD, TUNED, House
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

Status = grpc.StatusCode


async def test_names_come_first_each_with_the_version_behind_it(house: House):
    async with grpc_stub(house) as stub:
        listed = (await stub.ListModels(pb.ListModelsRequest(), timeout=CALL_SECONDS)).models

    assert [model.id for model in listed] == ["default", TUNED, ADAPTER, BUILD, BASE]
    assert (listed[0].version.version_id, listed[0].version.form) == (BUILD, "openvino-int8")


@pytest.mark.parametrize(
    ("name", "version"), [("default", BUILD), (TUNED, TUNED), ("kinds", ADAPTER)]
)
async def test_a_model_is_found_by_alias_version_and_name(house: House, name: str, version: str):
    async with grpc_stub(house) as stub:
        found = await stub.GetModel(pb.GetModelRequest(model=name), timeout=CALL_SECONDS)
        async with refused(Status.NOT_FOUND):
            await stub.GetModel(pb.GetModelRequest(model="nobody"), timeout=CALL_SECONDS)

    assert (found.model.id, found.model.version.version_id) == (name, version)
    assert found.model.version.base_version_id == BASE


async def test_a_name_is_moved_once_its_version_is_warm(house: House):
    async with grpc_stub(house, tenant="mover") as stub:
        request = pb.MoveAliasRequest(name="best", model=ADAPTER)
        moved = await stub.MoveAlias(request, timeout=CALL_SECONDS)
        found = await stub.GetModel(pb.GetModelRequest(model="best"), timeout=CALL_SECONDS)

    assert (moved.alias.tenant, moved.alias.version_id) == ("mover", TUNED)
    assert moved.alias.moved_by == "ada"
    assert house.inference.loaded == [TUNED]
    assert found.model.version.version_id == TUNED


@pytest.mark.parametrize(
    ("name", "model", "status"),
    [
        ("best", "nobody", Status.NOT_FOUND),
        ("best", "", Status.INVALID_ARGUMENT),
        ("Not.A.Name", TUNED, Status.INVALID_ARGUMENT),
    ],
)
async def test_a_move_that_cannot_be_is_refused(
    house: House, name: str, model: str, status: grpc.StatusCode
):
    async with grpc_stub(house) as stub, refused(status):
        await stub.MoveAlias(pb.MoveAliasRequest(name=name, model=model), timeout=CALL_SECONDS)


async def test_a_name_may_mean_several_versions_with_a_shadow_and_fallbacks(house: House):
    async with grpc_stub(house, tenant="splitter") as stub:
        request = pb.MoveAliasRequest(
            name="best",
            variants=[
                pb.AliasVariant(name="old", model=BUILD, weight=90),
                pb.AliasVariant(name="new", model="kinds", weight=10),
            ],
            shadow=pb.AliasShadow(model=TUNED, share=0.5),
            fallback=["tiny"],
        )
        moved = (await stub.MoveAlias(request, timeout=CALL_SECONDS)).alias
        shadowed = pb.MoveAliasRequest(
            name="plain", model=BUILD, shadow=pb.AliasShadow(model=TUNED, share=1)
        )
        plain = (await stub.MoveAlias(shadowed, timeout=CALL_SECONDS)).alias
    shown = (await house.http(tenant="splitter").get("/v1/aliases")).json()["data"]

    assert (moved.version_id, set(house.inference.loaded)) == (BUILD, {BUILD, TUNED})
    best = next(each for each in shown if each["name"] == "best")
    assert [(each["name"], each["version_id"], each["weight"]) for each in best["variants"]] == [
        *(("old", BUILD, 90), ("new", TUNED, 10))
    ]
    assert best["shadow"] == {"version_id": TUNED, "share": 0.5}
    assert best["fallback"] == [BUILD]
    assert plain.version_id == BUILD
    assert next(each for each in shown if each["name"] == "plain")["shadow"]["share"] == 1


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"model": BUILD, "variants": [pb.AliasVariant(name="a", model=BUILD)]}, "give either"),
        ({"variants": [pb.AliasVariant(name="a", model=BUILD)]}, "weight above 0"),
        ({"variants": [pb.AliasVariant(name="a b", model=BUILD, weight=1)]}, "variants.0.name"),
        ({"variants": [pb.AliasVariant(name="a", model="nobody", weight=1)]}, "nobody"),
        ({"shadow": pb.AliasShadow(model=BUILD, share=1)}, "give either"),
        ({"model": BUILD, "shadow": pb.AliasShadow(model=BUILD)}, "shadow.share"),
        ({"model": BUILD, "fallback": ["tiny"] * 5}, "fallback"),
    ],
)
async def test_a_split_that_cannot_be_is_refused_with_the_reason(
    house: House, target: dict[str, Any], said: str
):
    request = pb.MoveAliasRequest(name="best", **target)
    async with grpc_stub(house) as stub, refused(Status.INVALID_ARGUMENT, said):
        await stub.MoveAlias(request, timeout=CALL_SECONDS)


async def test_who_decided_before_another_moved_loses(house: House):
    house.inference.load_gates[BUILD] = asyncio.Event()
    async with grpc_stub(house, tenant="racers") as stub:
        to_build = pb.MoveAliasRequest(name="best", model=BUILD)
        slow = stub.MoveAlias(to_build, timeout=CALL_SECONDS)
        await eventually(lambda: house.inference.loading == [BUILD])
        await stub.MoveAlias(pb.MoveAliasRequest(name="best", model=TUNED), timeout=CALL_SECONDS)
        house.inference.load_gates[BUILD].set()
        async with refused(Status.ABORTED, "STALE_WRITE: "):
            await slow
        found = await stub.GetModel(pb.GetModelRequest(model="best"), timeout=CALL_SECONDS)
    assert found.model.version.version_id == TUNED


async def test_a_name_is_taken_away_and_its_version_stays(house: House):
    async with grpc_stub(house, tenant="unnames") as stub:
        await stub.MoveAlias(pb.MoveAliasRequest(name="best", model=TUNED), timeout=CALL_SECONDS)
        request = pb.DeleteAliasRequest(name="best")
        await stub.DeleteAlias(request, timeout=CALL_SECONDS)
        for name, status in (
            ("best", Status.NOT_FOUND),
            ("default", Status.NOT_FOUND),
            ("", Status.INVALID_ARGUMENT),
        ):
            async with refused(status):
                await stub.DeleteAlias(pb.DeleteAliasRequest(name=name), timeout=CALL_SECONDS)
        found = await stub.GetModel(pb.GetModelRequest(model=TUNED), timeout=CALL_SECONDS)
    assert found.model.version.version_id == TUNED


async def test_a_deleted_version_is_gone_and_one_in_use_stays(house: House):
    await house.say_model("mv-mine-1", tenant="tidy", name="old", form="adapter")
    async with grpc_stub(house, tenant="tidy") as stub:

        async def delete(version_id: str) -> list[str]:
            request = pb.DeleteModelRequest(version_id=version_id)
            return list((await stub.DeleteModel(request, timeout=CALL_SECONDS)).version_ids)

        house.trainer.in_use = BUILD
        for version_id, status in (
            (BUILD, Status.FAILED_PRECONDITION),
            ("mv-nobody", Status.NOT_FOUND),
            ("", Status.INVALID_ARGUMENT),
        ):
            async with refused(status):
                await delete(version_id)
        assert await delete("mv-mine-1") == ["mv-mine-1"]
        async with refused(Status.NOT_FOUND):
            await stub.GetModel(pb.GetModelRequest(model="mv-mine-1"), timeout=CALL_SECONDS)
