"""The unmodified OpenAI SDK against the live gateway."""

import io
import json

import openai
import pytest
from gateway_support.house import ADAPTER, BASE, BUILD, TUNED, House
from gateway_support.usage import last_usage
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = [{"role": "user", "content": "hello"}]
ROWS = [
    json.dumps({"messages": [*QUESTION, {"role": "assistant", "content": f"hi {number}"}]})
    for number in range(3)
]


async def test_a_chat_is_answered_whole_with_usage_and_the_version_that_answered(house: House):
    raw = await house.openai().chat.completions.with_raw_response.create(
        model="default", messages=QUESTION, max_tokens=9, temperature=0, stop=["\n"], seed=-1
    )
    answer = raw.parse()

    assert answer.choices[0].message.content == "Hello, world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 10
    assert answer.model == "default"
    assert answer.system_fingerprint == BUILD == raw.headers["x-model-version"]
    assert raw.headers["x-policy-digest"].startswith("sha256:")
    assert raw.headers["x-request-id"].startswith("req-")
    assert "server" not in raw.headers
    options = house.inference.requests[0].options
    assert (options.max_new_tokens, options.temperature, options.stop) == (9, 0, ["\n"])
    assert options.seed == 2**64 - 1


async def test_a_chat_streams_role_text_finish_and_usage(house: House):
    stream = await house.openai().chat.completions.create(
        model="default",
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]

    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].delta.content for c in chunks[1:-2]] == ["Hello", ", ", "world"]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 3
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_no_usage_chunk_comes_unasked(house: House):
    stream = await house.openai().chat.completions.create(
        model="default", messages=QUESTION, stream=True
    )
    chunks = [chunk async for chunk in stream]

    assert chunks[-1].choices[0].finish_reason == "stop"
    assert "usage" not in chunks[-1].model_fields_set


async def test_text_reaches_the_client_as_the_engine_said_it(house: House):
    strange = ['"', "\\", "\n", "\u2028", "\x00", "日本", "🜁", "</script>", "data: [DONE]\n\n"]
    house.inference.pieces = strange
    stream = await house.openai().chat.completions.create(
        model="default", messages=QUESTION, stream=True
    )
    text = "".join([c.choices[0].delta.content or "" async for c in stream])

    assert text == "".join(strange)


async def test_content_in_parts_and_developer_turns_are_understood(house: House):
    await house.openai().chat.completions.create(
        model="default",
        messages=[
            {"role": "developer", "content": "be brief"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
        ],
    )
    turns = house.inference.requests[0].conversation.messages

    assert [(turn.role, turn.content) for turn in turns] == [
        ("system", "be brief"),
        ("user", "a\nb"),
    ]


async def test_models_are_listed_and_found_by_alias_version_and_name(house: House):
    client = house.openai()
    listed = [model.id async for model in client.models.list()]

    assert {"default", BASE, BUILD, TUNED} <= set(listed)
    assert (await client.models.retrieve("default")).id == "default"
    assert (await client.models.retrieve(BASE)).owned_by == "shared"
    assert (await client.models.retrieve("kinds")).id == ADAPTER
    with pytest.raises(openai.NotFoundError, match="nobody"):
        await client.models.retrieve("nobody")


async def test_a_file_goes_in_and_comes_out_the_same(house: House):
    client = house.openai(tenant="files-tenant")
    content = "\n".join(ROWS).encode()
    stored = await client.files.create(
        file=("rows.jsonl", io.BytesIO(content)), purpose="fine-tune"
    )

    assert (stored.bytes, stored.filename, stored.purpose) == (
        len(content),
        "rows.jsonl",
        "fine-tune",
    )
    assert (await client.files.retrieve(stored.id)).id == stored.id
    assert [file.id async for file in client.files.list()] == [stored.id]
    assert (await client.files.content(stored.id)).read() == content
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve("file-nobody")
    with pytest.raises(openai.NotFoundError):
        await client.files.content("file-nobody")


async def test_a_fine_tuning_job_is_created_from_a_file_listed_and_told_of(house: House):
    client = house.openai(tenant="tuning-tenant")
    stored = await client.files.create(
        file=("rows.jsonl", b"\n".join(map(str.encode, ROWS))), purpose="fine-tune"
    )
    job = await client.fine_tuning.jobs.create(
        model="tiny",
        training_file=stored.id,
        suffix="mine",
        seed=5,
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}},
        },
        extra_body={"hyperparameters": {"learning_rate": 0.001, "lora_rank": 8}},
    )

    assert (job.status, job.model, job.training_file) == ("queued", BASE, stored.id)
    assert job.hyperparameters.n_epochs == 2
    assert (job.seed, job.user_provided_suffix) == (5, "mine")
    spec = house.trainer.specs[-1]
    chosen = spec.hyper_parameters
    assert (chosen.epochs, chosen.learning_rate, chosen.lora_rank) == (2, 0.001, 8)
    assert (chosen.batch_size, chosen.seed, spec.evaluate) == (0, 5, True)
    assert spec.dataset_id.startswith("ds-")
    assert spec.dataset_job_id.startswith("job-")
    assert house.data_prep.specs[-1].mapping.messages_column == "messages"

    assert (await client.fine_tuning.jobs.retrieve(job.id)).id == job.id
    again = await client.fine_tuning.jobs.create(model="tiny", training_file=stored.id)
    assert [j.id async for j in client.fine_tuning.jobs.list(limit=1)] == [again.id, job.id]
    assert [e async for e in client.fine_tuning.jobs.list_events(job.id)] == []


async def test_the_sdk_raises_its_own_errors(house: House):
    with pytest.raises(openai.AuthenticationError):
        await house.openai(exp=1).models.list()
    with pytest.raises(openai.PermissionDeniedError):
        await house.openai(scope="files").models.list()
    with pytest.raises(openai.BadRequestError) as refused:
        await house.openai().chat.completions.create(
            model="default", messages=QUESTION, logit_bias={"7": 1}, modalities=["audio"]
        )
    assert refused.value.param == "logit_bias"
    assert refused.value.body["errors"] == [
        "logit_bias: not supported here, or not with this value. Leave it out",
        "modalities: not supported here, or not with this value. Leave it out",
    ]
    assert refused.value.request_id.startswith("req-")


async def test_usage_is_recorded_behind_the_answer(house: House):
    answer = await house.openai(tenant="payer").chat.completions.create(
        model="default", messages=QUESTION
    )

    async def recorded() -> object:
        return await last_usage(house.bus, "payer")

    usage = (await eventually(recorded)).body
    assert usage.request_id.removeprefix("req-") == answer.id.removeprefix("chatcmpl-")
    assert (usage.version_id, usage.completion_tokens, usage.finish_reason) == (BUILD, 3, "stop")
    assert usage.first_token_seconds > 0
