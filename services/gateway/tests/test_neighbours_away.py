"""NATS down: chat goes on, new jobs get 503, and all is well again by itself. Peers down: 503."""

from pathlib import Path

import pytest
from gateway_support.house import House, run_house
from modelmill_testkit.waiting import eventually

CHAT = {"model": "default", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.own_broker
async def test_without_the_broker_chat_goes_on_and_new_jobs_wait(own_house: House):
    client = own_house.http()
    form = {"files": {"file": ("a.jsonl", b"{}")}, "data": {"purpose": "fine-tune"}}
    file = (await client.post("/v1/files", **form)).json()["id"]
    order = {"model": "tiny", "training_file": file}
    dataset = {"file_id": file, "mapping": {"messages_column": "messages"}}

    own_house.nats.kill()

    assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200
    assert (await client.post("/generate", json={"prompt": "hi"})).status_code == 200
    for path, body in (("/v1/fine_tuning/jobs", order), ("/v1/datasets", dataset)):
        refused = await client.post(path, json=body)
        assert refused.status_code == 503, path
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "unavailable"
    assert (await client.get("/v1/models")).status_code == 200
    assert (await client.get("/v1/jobs")).status_code == 200

    await own_house.nats.start()

    async def accepted() -> bool:
        return (await client.post("/v1/fine_tuning/jobs", json=order)).status_code == 200

    await eventually(accepted)
    assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200


@pytest.mark.parametrize("peer", ["inference", "moderation", "data_prep"])
async def test_a_peer_that_is_down_is_a_503_that_names_no_address(tmp_path: Path, peer: str):
    async with run_house(tmp_path, **{f"{peer}_address": "127.0.0.1:1"}) as house:
        client = house.http()
        if peer == "data_prep":
            answer = await client.get("/v1/files")
        else:
            answer = await client.post("/v1/chat/completions", json=CHAT)

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "127.0.0.1" not in answer.text
