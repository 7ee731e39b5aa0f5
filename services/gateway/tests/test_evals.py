"""Evals by the unmodified OpenAI SDK: definitions, runs by the gateway's own worker, rows."""

import json
from typing import Any

import openai
import pytest
from gateway_support.evals import EXACT, items_of, made, rows, run_ended, run_of, sampled
from gateway_support.house import BLOCKED, House
from modelmill.gateway.v1.gateway_events_pb2 import EvalState
from modelmill_bus.subjects import eval_state
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIMILAR = {
    "type": "text_similarity",
    "name": "similar",
    "input": "{{sample.output_text}}",
    "reference": "{{item.right}}",
    "evaluation_metric": "rouge_l",
    "pass_threshold": 0.6,
}
LABELLED = {
    "type": "label_model",
    "name": "polite",
    "model": "default",
    "input": [{"role": "user", "content": "Is {{sample.output_text}} polite?"}],
    "labels": ["yes", "no"],
    "passing_labels": ["yes"],
}
SCORED = {
    "type": "score_model",
    "name": "score",
    "model": "default",
    "input": [{"role": "user", "content": "How good is {{sample.output_text}}?"}],
    "range": [0, 10],
    "pass_threshold": 7,
}
GIVEN: Any = {
    "type": "jsonl",
    "source": {
        "type": "file_content",
        "content": [{"item": {}, "sample": {"output_text": "thanks"}}],
    },
}


async def test_rows_are_sampled_and_graded_and_each_tells_what_came_of_it(house: House):
    client = house.openai(tenant="evals")
    found = await made(client, EXACT, SIMILAR)
    rights = ["Hello, world", "Hello, moon", "Goodbye"]
    sampling = {"temperature": 0.5, "seed": 3, "max_completion_tokens": 9}
    source = sampled(rows(*rights), sampling_params=sampling)
    run = await run_of(client, found, source, name="first", metadata={"a": "b"})

    assert (run.status, run.error, run.name, run.model) == ("completed", None, "first", "default")
    counts = {"total": 3, "passed": 1, "failed": 2, "errored": 0}
    assert run.result_counts.model_dump() == counts
    assert [each.model_dump() for each in run.per_testing_criteria_results] == [
        {"testing_criteria": "exact", "passed": 1, "failed": 2},
        {"testing_criteria": "similar", "passed": 1, "failed": 2},
    ]
    (usage,) = run.per_model_usage
    assert (usage.run_model_name, usage.invocation_count, usage.total_tokens) == ("default", 3, 30)
    items = await items_of(client, run)
    assert [item.status for item in items] == ["pass", "fail", "fail"]
    assert [item.datasource_item["right"] for item in items] == rights
    moon = {result.name: (result.passed, result.score) for result in items[1].results}
    assert moon == {"exact": (False, 0.0), "similar": (False, 0.5)}
    sample = items[1].sample
    assert sample.input[1].content == "Say word 1 in en"
    assert sample.output[0].content == "Hello, world"
    assert {name: getattr(sample, name) for name in sampling} == sampling
    one = await client.evals.runs.output_items.retrieve(
        items[2].id, eval_id=found.id, run_id=run.id
    )
    assert one.model_dump() == items[2].model_dump()
    asked = house.inference.requests[-1].options
    assert (asked.temperature, asked.seed, asked.max_new_tokens) == (0.5, 3, 9)


async def test_a_model_grades_by_its_label(house: House):
    client = house.openai(tenant="evals")
    found = await made(client, LABELLED)
    for said, status in (("yes", "pass"), ("no", "fail"), ("perhaps", "error")):
        house.inference.pieces = [said]
        run = await run_of(client, found, GIVEN)
        (item,) = await items_of(client, run)

        assert item.status == status
    assert "perhaps" in item.error
    assert run.per_model_usage[0].invocation_count == 1
    asked = house.inference.requests[-1]
    assert asked.conversation.messages[0].content == "Is thanks polite?"


async def test_a_model_grades_by_its_score(house: House):
    client = house.openai(tenant="evals")
    found = await made(client, SCORED)
    for said, status in (("8", "pass"), ("6.5", "fail"), ("11", "error")):
        house.inference.pieces = [said]
        (item,) = await items_of(client, await run_of(client, found, GIVEN))

        assert item.status == status
    assert item.sample is None
    (turn,) = house.inference.requests[-1].conversation.messages
    assert turn.content.startswith("How good is thanks?")
    assert "from 0 to 10" in turn.content


async def test_a_file_of_rows_and_turns_of_the_row_itself_are_taken(house: House):
    client = house.openai(tenant="evals")
    turns = [{"role": "user", "content": "hello from the row"}]
    lines = [json.dumps({"item": {"turns": turns, "right": "Hello, world"}})] * 2
    stored = await client.files.create(
        file=("rows.jsonl", "\n".join(lines).encode()), purpose="evals"
    )
    source = {
        "type": "completions",
        "source": {"type": "file_id", "id": stored.id},
        "model": "default",
        "input_messages": {"type": "item_reference", "item_reference": "item.turns"},
    }
    run = await run_of(client, await made(client), source)

    assert run.result_counts.passed == 2
    assert house.inference.requests[-1].conversation.messages[0].content == turns[0]["content"]


async def test_what_has_no_answer_or_no_place_for_it_is_an_error_of_its_row_alone(house: House):
    client = house.openai(tenant="evals")
    content = rows("Hello, world", "Hello, world")
    content[0]["item"]["text"] = BLOCKED
    content.append({"item": {"text": "x"}})
    run = await run_of(client, await made(client), sampled(content))
    items = await items_of(client, run)

    assert run.status == "completed"
    assert [item.status for item in items] == ["error", "pass", "error"]
    assert items[0].sample.error.code == "content_policy_violation"
    assert "item.how.language" in items[2].error
    listed = client.evals.runs.output_items.list(run.id, eval_id=run.eval_id, status="pass")
    assert [item.id async for item in listed] == [items[1].id]


async def test_what_a_row_says_is_never_a_template_again(house: House):
    client = house.openai(tenant="evals")
    content = rows("{{item.secret}}")
    content[0]["item"] |= {"text": "{{item.secret}}", "secret": "hidden"}
    run = await run_of(client, await made(client), sampled(content))
    (item,) = await items_of(client, run)

    assert item.sample.input[1].content == "Say {{item.secret}} in en"


async def test_definitions_are_shown_renamed_and_deleted_with_their_runs(house: House):
    client, other = house.openai(tenant="keeper"), house.openai(tenant="stranger")
    first, second = await made(client, name="one"), await made(client, name="two")
    assert [each.name async for each in client.evals.list(limit=1)] == ["one", "two"]
    assert [each.name async for each in client.evals.list(order="desc")] == ["two", "one"]
    assert first.data_source_config.schema_["properties"]["item"]["type"] == "object"
    changed = await client.evals.update(first.id, name="three", metadata={"k": "v"})
    assert (changed.name, changed.metadata) == ("three", {"k": "v"})
    assert (await client.evals.retrieve(first.id)).name == "three"
    run = await run_of(client, first, sampled(rows("x")))
    again = await run_of(client, first, sampled(rows("x")))
    for reach in (other.evals.retrieve, other.evals.delete, other.evals.runs.list):
        with pytest.raises(openai.NotFoundError):
            await reach(first.id)
    with pytest.raises(openai.NotFoundError):
        await client.evals.runs.retrieve(run.id, eval_id=second.id)

    assert (await client.evals.runs.delete(run.id, eval_id=first.id)).deleted
    assert [each.id async for each in client.evals.runs.list(first.id)] == [again.id]
    assert (await client.evals.delete(first.id)).eval_id == first.id
    for gone in (client.evals.retrieve, client.evals.runs.list, client.evals.delete):
        with pytest.raises(openai.NotFoundError):
            await gone(first.id)


async def test_a_cancelled_run_keeps_what_is_graded(house: House):
    client = house.openai(tenant="evals")
    found = await made(client)
    house.inference.hold_after = 2
    source = sampled(rows(*["Hello, world"] * 20))
    run = await client.evals.runs.create(found.id, data_source=source)
    await eventually(lambda: house.inference.in_flight >= 8)
    await client.evals.runs.cancel(run.id, eval_id=found.id)
    run = await run_ended(client, found.id, run.id)

    assert run.status == "canceled"
    assert (run.result_counts.passed, run.result_counts.errored) == (2, 18)


async def test_a_repeated_key_is_the_first_eval_and_the_first_run(house: House):
    client = house.openai(tenant="repeater")
    headers = {"idempotency-key": "once"}
    found = [await made(client, extra_headers=headers) for _ in range(2)]
    source = sampled(rows("x"))
    runs = [
        await client.evals.runs.create(found[0].id, data_source=source, extra_headers=headers)
        for _ in range(2)
    ]

    assert found[0].id == found[1].id
    assert runs[0].id == runs[1].id
    with pytest.raises(openai.UnprocessableEntityError):
        await made(client, SIMILAR, extra_headers=headers)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "python": ({"type": "python", "name": "p", "source": "pass"}, "python are not served"),
    "multi": ({"type": "multi", "name": "m"}, "multi are not served"),
    "cosine": (SIMILAR | {"evaluation_metric": "cosine"}, "one of rouge_1"),
    "no operation": ({**EXACT, "operation": None}, "needs operation"),
    "no label": (LABELLED | {"passing_labels": ["maybe"]}, "maybe is no label"),
    "no turns": (SCORED | {"input": "a text"}, "a list of turns"),
    "an image": (
        SCORED | {"input": [{"role": "user", "content": {"type": "input_image"}}]},
        "content",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_not_served_is_refused_by_name(house: House, name: str):
    criterion, said = WRONG[name]
    with pytest.raises(openai.BadRequestError, match=said):
        await made(house.openai(), criterion)


async def test_sources_that_are_not_served_and_rows_that_are_none_are_refused(house: House):
    client: Any = house.openai(tenant="evals")
    for config in ("logs", "stored_completions"):
        with pytest.raises(openai.BadRequestError, match="data_source_config"):
            await client.evals.create(data_source_config={"type": config}, testing_criteria=[EXACT])
    with pytest.raises(openai.BadRequestError, match="same name"):
        await made(client, EXACT, EXACT)
    found = await made(client)
    other = await client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
    for source in (
        {"type": "responses", "source": {"type": "file_id", "id": other.id}},
        {"type": "jsonl", "source": {"type": "file_id", "id": other.id}},
        {"type": "jsonl", "source": {"type": "file_id", "id": "file-nobody"}},
        {"type": "completions", "source": {"type": "file_content", "content": rows("x")}},
    ):
        with pytest.raises(openai.BadRequestError, match="data_source"):
            await client.evals.runs.create(found.id, data_source=source)
    stored = await client.files.create(file=("a.jsonl", b'{"item": {}}\n[]\n'), purpose="evals")
    source = {"type": "jsonl", "source": {"type": "file_id", "id": stored.id}}
    run = await run_of(client, found, source)
    assert (run.status, run.error.code) == ("failed", "invalid_rows")
    assert "line 2" in run.error.message


async def test_a_run_whose_models_do_not_exist_is_refused_at_once(house: House):
    client = house.openai(tenant="evals")
    sampling = await made(client)
    grading = await made(client, LABELLED | {"model": "defalt"})
    for found, source in (
        (sampling, sampled(rows("x"), model="defalt")),
        (grading, GIVEN),
    ):
        with pytest.raises(openai.NotFoundError, match="'defalt' does not exist"):
            await client.evals.runs.create(found.id, data_source=source)
        assert [run async for run in await client.evals.runs.list(found.id)] == []


async def test_of_a_deleted_eval_is_kept_that_it_is_and_that_not_for_ever(house: House):
    client = house.openai(tenant="tidy")
    found = await made(client, metadata={"for": "a while"})
    await client.evals.delete(found.id)
    stored = await house.bus.last(eval_state(found.id), EvalState)

    assert stored is not None
    assert stored.body.deleted
    kept = {field.name for field, _ in stored.body.ListFields()}
    assert kept & {"testing_criteria", "data_source_config", "metadata"} == set()
    assert stored.headers["Nats-TTL"] == str(30 * 24 * 3600)
