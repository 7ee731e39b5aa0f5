"""In whose name the requests of a batch are answered."""

import pytest
from gateway_support.batches import ended, line, ordered, rows_of
from gateway_support.house import House
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_revoked_key_ends_its_batches_and_what_is_done_is_kept(house: House):
    admin = house.http(tenant="key-owner")
    made = await admin.post("/v1/keys", json={"name": "batches", "scopes": ["chat", "files"]})
    key = made.json()
    client = house.openai(tenant="key-owner").with_options(api_key=key["key"])
    house.inference.hold_after = 3
    batch = await ordered(client, [line(f"ask-{number}") for number in range(20)])
    await eventually(lambda: house.inference.in_flight >= 8)
    assert (await admin.delete(f"/v1/keys/{key['id']}")).is_success
    await eventually(lambda: house.inference.in_flight == 0)
    reader = house.openai(tenant="key-owner")
    batch = await ended(reader, batch.id)

    assert (batch.status, [each.code for each in batch.errors.data]) == ("failed", ["key_revoked"])
    assert len(await rows_of(reader, batch.output_file_id)) == 3
    # What was in flight has no answer: it may be ordered again.
    assert batch.error_file_id is None


async def test_a_batch_of_a_key_ends_with_the_key_that_made_it(house: House):
    admin = house.http(tenant="key-owner")
    requested = {"name": "maker", "scopes": ["chat", "files", "keys"]}
    maker = (await admin.post("/v1/keys", json=requested)).json()
    by_maker = {"authorization": f"Bearer {maker['key']}"}
    requested = {"name": "made", "scopes": ["chat", "files"]}
    key = (await admin.post("/v1/keys", json=requested, headers=by_maker)).json()
    client = house.openai(tenant="key-owner").with_options(api_key=key["key"])
    house.inference.hold_after = 0
    batch = await ordered(client, [line("one")])
    await eventually(lambda: house.inference.in_flight == 1)
    await admin.patch(f"/v1/keys/{maker['id']}", json={"expires_in_seconds": 1})
    await eventually(lambda: house.inference.in_flight == 0)
    batch = await ended(house.openai(tenant="key-owner"), batch.id)

    assert (batch.status, [each.code for each in batch.errors.data]) == ("failed", ["key_revoked"])


async def test_a_key_for_some_models_asks_no_others_in_a_batch(house: House):
    admin = house.http(tenant="key-owner")
    body = {"name": "one model", "scopes": ["chat", "files"], "models": ["default"]}
    key = (await admin.post("/v1/keys", json=body)).json()
    client = house.openai(tenant="key-owner").with_options(api_key=key["key"])
    asked = [line("may"), line("may-not", model="kinds")]
    batch = await ended(client, (await ordered(client, asked)).id)

    assert list(await rows_of(client, batch.output_file_id)) == ["may"]
    assert list(await rows_of(client, batch.error_file_id)) == ["may-not"]
