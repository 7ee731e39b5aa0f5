"""What a key with a list of models may do with models, and with what is made of them."""

import json
from typing import Any

import grpc
import httpx
import pytest
from gateway_support.api_keys import issued, with_key
from gateway_support.grpc_client import CALL_SECONDS, refused
from gateway_support.house import BUILD, TUNED, House
from gateway_support.job_orders import upload
from hypothesis import given
from hypothesis import strategies as st
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import ModelNotAllowedError
from modelmill_gateway.domain.model_names import ModelNames, Named, Reach, names_at
from modelmill_gateway.entrypoints.schemas.models import AliasBody
from modelmill_gateway.entrypoints.schemas.parsing import parse_body
from modelmill_gateway.identity.require_models import RequireModels
from modelmill_service_kit.grpc_client import open_channel
from pydantic_core import from_json

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCOPES = ["chat", "models:read", "models:write", "files", "jobs", "keys"]
NAMES = ["mine", "tiny", TUNED]


async def bounded(house: House, tenant: str, *models: str) -> httpx.AsyncClient:
    """A client with a key that may ask for these models alone."""
    made = await issued(house.http(tenant=tenant), scopes=SCOPES, models=models)
    return with_key(house, made["key"])


def not_allowed(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")


def split(*versions: str, **also: Any) -> dict[str, Any]:
    parts = [{"name": f"v{n}", "version_id": v, "weight": 1} for n, v in enumerate(versions)]
    return {"variants": parts, **also}


@pytest.mark.parametrize(
    ("alias", "body"),
    [
        ("mine", {"version_id": BUILD}),
        ("mine", {"version_id": "default"}),
        ("mine", split(TUNED, BUILD)),
        ("mine", split(TUNED, fallback=[BUILD])),
        ("mine", split(TUNED, shadow={"version_id": BUILD, "share": 1.0})),
        ("mine", {"version_id": TUNED, "fallback": ["tiny", BUILD]}),
        ("theirs", {"version_id": TUNED}),
        ("default", {"version_id": TUNED}),
    ],
)
async def test_no_alias_is_moved_by_a_key_that_may_not_ask_for_it_and_all_that_it_shall_mean(
    house: House, alias: str, body: Any
):
    owner = house.http(tenant="aliases")
    assert (await owner.put("/v1/aliases/theirs", json={"version_id": BUILD})).is_success
    before = (await owner.get("/v1/aliases")).json()["data"]
    async with await bounded(house, "aliases", *NAMES) as client:
        assert not_allowed(await client.put(f"/v1/aliases/{alias}", json=body))
    assert (await owner.get("/v1/aliases")).json()["data"] == before


async def test_within_its_list_a_key_moves_aliases_over_http_and_grpc(house: House):
    made = await issued(house.http(tenant="within"), scopes=SCOPES, models=NAMES)
    async with with_key(house, made["key"]) as client:
        body = split(TUNED, "tiny", fallback=[TUNED])
        assert (await client.put("/v1/aliases/mine", json=body)).status_code == 200
    async with open_channel(house.grpc_address, made["key"]) as channel:
        stub = GatewayServiceStub(channel)
        request = pb.MoveAliasRequest(name="mine", model=TUNED)
        moved = await stub.MoveAlias(request, timeout=CALL_SECONDS)
        assert moved.alias.version_id == TUNED
        for name, model in (("mine", BUILD), ("other", TUNED)):
            async with refused(grpc.StatusCode.PERMISSION_DENIED, "may not ask"):
                request = pb.MoveAliasRequest(name=name, model=model)
                await stub.MoveAlias(request, timeout=CALL_SECONDS)


async def test_of_a_field_that_comes_twice_the_one_that_counts_is_held_to_the_list(house: House):
    allowed, other = f'"version_id": "{TUNED}"', f'"version_id": "{BUILD}"'
    async with await bounded(house, "twice", *NAMES) as client:
        for body, is_allowed in (
            (f"{{{allowed}, {other}}}", False),
            (f"{{{other}, {allowed}}}", True),
            (f'{{{allowed}, "version\\u005fid": "{BUILD}"}}', False),
        ):
            answer = await client.put("/v1/aliases/mine", content=body)
            assert answer.is_success if is_allowed else not_allowed(answer), body


async def test_training_takes_and_makes_only_what_the_key_may_ask_for(house: House):
    made = await issued(house.http(tenant="tuning"), scopes=SCOPES, models=["tiny", "ours"])
    async with with_key(house, made["key"]) as client:
        order = {"model": "tiny", "training_file": await upload(client)}
        for more in (
            {"model": "default", "suffix": "ours"},
            {"teacher": BUILD, "suffix": "ours"},
            # It would be asked for by whoever asks for these names now.
            {"suffix": "default"},
            {},
        ):
            assert not_allowed(await client.post("/v1/fine_tuning/jobs", json=order | more)), more
        job = await client.post("/v1/fine_tuning/jobs", json=order | {"suffix": "ours"})
        assert job.is_success
    spec = TrainSpec(base_version_id="tiny", dataset_id=order["training_file"], name="theirs")
    async with (
        open_channel(house.grpc_address, made["key"]) as channel,
        refused(grpc.StatusCode.PERMISSION_DENIED, "may not ask"),
    ):
        request = pb.CreateFineTuningJobRequest(spec=spec)
        await GatewayServiceStub(channel).CreateFineTuningJob(request, timeout=CALL_SECONDS)


async def test_what_a_key_tuned_it_asks_for_by_the_name_on_its_list_and_by_no_other(house: House):
    await house.say_model("mv-new", tenant="tuned", name="ours", form="openvino-int8")
    async with await bounded(house, "tuned", "ours") as client:
        turns = [{"role": "user", "content": "hi"}]
        for model, is_allowed in (("ours", True), ("mv-new", False)):
            body = {"model": model, "messages": turns}
            answer = await client.post("/v1/chat/completions", json=body)
            assert answer.is_success if is_allowed else not_allowed(answer)
        assert not_allowed(await client.delete("/v1/models/mv-new"))
        assert (await client.get("/v1/models/ours")).is_success


async def test_what_the_list_of_models_names_can_be_asked_for_by_whoever_reads_it(house: House):
    for version in ("mv-older", "mv-newer"):
        await house.say_model(version, tenant="listed", name="ours", form="openvino-int8")
    async with await bounded(house, "listed", "ours", "tiny") as client:
        ids = [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
        assert ids.count("ours") == 1
        assert not {"mv-older", "mv-newer"} & {*ids}
        for name in ids:
            body = {"model": name, "messages": [{"role": "user", "content": "hi"}]}
            assert (await client.post("/v1/chat/completions", json=body)).is_success, name
            assert (await client.get(f"/v1/models/{name}")).json()["id"] == name
    async with await bounded(house, "listed", "mv-older") as client:
        listed = (await client.get("/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["mv-older"]


async def test_a_bounded_key_steers_the_jobs_that_it_ordered_and_no_others(house: House):
    owner = house.http(tenant="steering")
    file = await upload(owner)
    order = {"model": "tiny", "training_file": file, "suffix": "ours"}
    theirs = (await owner.post("/v1/fine_tuning/jobs", json=order)).json()["id"]
    async with await bounded(house, "steering", "tiny", "ours") as client:
        own = (await client.post("/v1/fine_tuning/jobs", json=order)).json()["id"]
        for action in ("pause", "resume", "cancel"):
            for kind in ("jobs", "fine_tuning/jobs"):
                assert not_allowed(await client.post(f"/v1/{kind}/{theirs}/{action}"))
                assert (await client.post(f"/v1/{kind}/{own}/{action}")).is_success, action
        assert (await client.get(f"/v1/jobs/{theirs}")).is_success


async def test_an_eval_that_asks_other_models_to_grade_is_neither_made_nor_run(house: House):
    grader = {
        **{"type": "score_model", "name": "score", "model": "default", "range": [0, 1]},
        "input": [{"role": "user", "content": "Good?"}],
    }
    config = {"type": "custom", "item_schema": {"type": "object"}}
    wanted = {"data_source_config": config, "testing_criteria": [grader]}
    rows = {"type": "file_content", "content": [{"item": {}, "sample": {"output_text": "a"}}]}
    run = {"data_source": {"type": "jsonl", "source": rows}}
    theirs = (await house.http(tenant="graded").post("/v1/evals", json=wanted)).json()["id"]
    async with await bounded(house, "graded", "tiny") as client:
        assert not_allowed(await client.post("/v1/evals", json=wanted))
        assert not_allowed(await client.post(f"/v1/evals/{theirs}/runs", json=run))
    async with await bounded(house, "graded", "default") as client:
        assert (await client.post(f"/v1/evals/{theirs}/runs", json=run)).is_success


async def test_the_default_model_is_one_that_has_to_be_on_the_list(house: House):
    async with await bounded(house, "defaults", "tiny") as client:
        assert not_allowed(await client.post("/generate", json={"prompt": "hi"}))
        assert not_allowed(await client.post("/generate", json={"prompt": "hi", "model": None}))
    async with await bounded(house, "defaults", "default") as client:
        assert (await client.post("/generate", json={"prompt": "hi"})).is_success


# The rule ----------------------------------------------------------------------------------------


class Nothing:
    """No jobs, no evals."""

    def get(self, tenant: str, object_id: str) -> Any:
        raise AssertionError("nobody asks")


RULE = RequireModels(Nothing(), Nothing(), "default")
NAME = st.sampled_from(["a", "b", "default", "mv-1"])


@given(listed=st.frozensets(NAME, min_size=1), named=st.lists(NAME), default=st.booleans())
async def test_a_request_passes_if_all_that_it_names_is_on_the_list(
    listed: frozenset[str], named: list[str], *, default: bool
):
    caller = Caller("acme", "key-1", frozenset(), "key-1", listed)
    models = ModelNames(("model",), is_default_meant=default)
    meant = {*named} or ({"default"} if default else set())
    try:
        RULE(caller, models, Named((*named,)))
    except ModelNotAllowedError:
        assert not meant <= listed
    else:
        assert meant <= listed
    RULE(Caller("acme", "ada", frozenset()), ModelNames(reach=Reach.ALL), Named((*named,)))


TEXT = st.sampled_from(['"a"', '"b"', '"mod\\u0065l"'])
SHADOW = st.lists(TEXT, min_size=1, max_size=2).map(
    lambda names: '{{{}, "share": 1}}'.format(", ".join(f'"version_id": {name}' for name in names))
)
FIELDS = st.one_of(
    st.tuples(st.just("version_id"), TEXT),
    st.tuples(st.just("version\\u005fid"), TEXT),
    st.tuples(st.just("fallback"), st.lists(TEXT, max_size=3).map(lambda e: f"[{', '.join(e)}]")),
    st.tuples(st.just("shadow"), SHADOW),
)


@given(pairs=st.lists(FIELDS, max_size=5))
async def test_names_are_read_as_the_handler_reads_them(pairs: list[tuple[str, str]]):
    """Also where a field comes twice, or is written with escapes."""
    pairs = [("version_id", '"a"'), *pairs]
    text = "{{{}}}".format(", ".join(f'"{name}": {value}' for name, value in pairs))
    handled = json.loads(parse_body(text.encode(), AliasBody).model_dump_json())
    fields = ("version_id", "variants.version_id", "shadow.version_id", "fallback")
    read, meant = [
        {name for field in fields for name in names_at(each, field)}
        for each in (from_json(text), handled)
    ]
    assert read == meant
