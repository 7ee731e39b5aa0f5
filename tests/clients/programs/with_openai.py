"""OpenAI's own client for Python."""

import io

import openai
from jobs_of_openai import job_calls
from openai import OpenAI
from telling import (
    BLOCKED,
    FUNCTION,
    KEY,
    LONG,
    MODEL,
    QUESTION,
    ROWS,
    SCHEMA,
    TOOL,
    URL,
    is_of_schema,
    raises,
    tell,
)

client = OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, timeout=60)
chat = client.chat.completions
ASKED = {"model": MODEL, "messages": QUESTION, "max_tokens": 8, "temperature": 0}
COMPLETING = {"model": MODEL, "prompt": "a", "max_tokens": 4, "temperature": 0}
RESPONDING = {"model": MODEL, "input": "hello", "max_output_tokens": 8, "temperature": 0}
CALLING = ASKED | {"tools": [TOOL], "tool_choice": "required", "max_tokens": 64}
FORM = {"name": "place", "schema": SCHEMA, "strict": True}


def chat_whole() -> None:
    answer = chat.create(**ASKED)
    assert answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8


def chat_streamed() -> None:
    chunks = list(chat.create(**ASKED, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def usage_streamed() -> None:
    chunks = list(chat.create(**ASKED, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.completion_tokens == 8


def tools() -> None:
    (call,) = chat.create(**CALLING).choices[0].message.tool_calls
    assert call.function.name == "weather"
    is_of_schema(call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    made = {"role": "assistant", "tool_calls": [call.model_dump()]}
    again = chat.create(**(ASKED | {"messages": [*QUESTION, made, result], "tools": [TOOL]}))
    assert again.choices[0].finish_reason


def tools_streamed() -> None:
    with chat.stream(**CALLING) as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    is_of_schema(answer.choices[0].message.tool_calls[0].function.arguments)


def json_schema() -> None:
    form = {"type": "json_schema", "json_schema": FORM}
    answer = chat.create(**(ASKED | {"max_tokens": 64}), response_format=form)
    is_of_schema(answer.choices[0].message.content)


def logprobs() -> None:
    answer = chat.create(**ASKED, logprobs=True, top_logprobs=2)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == 8
    assert len(tokens[0].top_logprobs) == 2


def several() -> None:
    assert [c.index for c in chat.create(**ASKED, n=2).choices] == [0, 1]


def stop() -> None:
    whole = chat.create(**ASKED).choices[0].message.content
    cut = chat.create(**ASKED, stop=[whole[2]])
    assert cut.choices[0].message.content == whole[: whole.index(whole[2])]
    assert cut.choices[0].finish_reason == "stop"


def seed() -> None:
    said = {
        chat.create(**(ASKED | {"temperature": 1, "seed": 7})).choices[0].message.content
        for _ in range(2)
    }
    assert len(said) == 1


def completions() -> None:
    answer = client.completions.create(**COMPLETING | {"prompt": ["a", "b"]})
    assert [c.index for c in answer.choices] == [0, 1]


def completions_streamed() -> None:
    chunks = list(client.completions.create(**COMPLETING, stream=True))
    assert chunks[-1].choices[0].finish_reason


def embeddings() -> None:
    answer = client.embeddings.create(model=MODEL, input=["a", "b"])
    assert len(answer.data) == 2
    assert abs(sum(x * x for x in answer.data[0].embedding) - 1) < 1e-3


def models() -> None:
    (named,) = [model for model in client.models.list() if getattr(model, "name", "") == MODEL]
    assert client.models.retrieve(named.id).id == named.id


def files() -> None:
    stored = client.files.create(file=("rows.jsonl", ROWS), purpose="fine-tune")
    assert client.files.content(stored.id).read() == ROWS
    assert stored.id in [file.id for file in client.files.list()]
    assert client.files.delete(stored.id).deleted


def uploads() -> None:
    upload = client.uploads.create(
        filename="a.jsonl", purpose="fine-tune", bytes=len(ROWS), mime_type="text/jsonl"
    )
    halves = (ROWS[:100], ROWS[100:])
    parts = [client.uploads.parts.create(upload.id, data=io.BytesIO(half)) for half in halves]
    done = client.uploads.complete(upload.id, part_ids=[part.id for part in parts])
    assert client.files.content(done.file.id).read() == ROWS


def moderations() -> None:
    good, bad = client.moderations.create(input=["hello", BLOCKED]).results
    assert (good.flagged, bad.flagged) == (False, True)


def responses() -> None:
    answer = client.responses.create(**RESPONDING)
    assert answer.output_text
    assert answer.status == "incomplete"
    assert answer.usage.output_tokens == 8


def responses_streamed() -> None:
    with client.responses.stream(**RESPONDING) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.incomplete"


def responses_tools() -> None:
    tool = {"type": "function", **FUNCTION}
    asked = {"model": MODEL, "tools": [tool], "tool_choice": "required", "max_output_tokens": 64}
    (call,) = client.responses.create(**asked, input="hello").output
    is_of_schema(call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    said = [{"role": "user", "content": "hello"}, call.to_dict(), result]
    assert client.responses.create(model=MODEL, input=said, max_output_tokens=8).output


def error_400() -> None:
    wrong = {"logit_bias": {"7": 1}}
    raises(openai.BadRequestError, lambda: chat.create(**ASKED, **wrong), "logit_bias")


def error_401() -> None:
    stranger = client.with_options(api_key="mm-stranger")
    raises(openai.AuthenticationError, lambda: stranger.chat.completions.create(**ASKED))


def error_404() -> None:
    raises(openai.NotFoundError, lambda: chat.create(**(ASKED | {"model": "nobody"})), "nobody")


def blocked() -> None:
    said = [{"role": "user", "content": BLOCKED}]
    raises(openai.BadRequestError, lambda: chat.create(**(ASKED | {"messages": said})), "no-eating")


def leaves() -> None:
    with chat.create(**(ASKED | {"max_tokens": LONG}), stream=True) as stream:
        next(iter(stream))


tell(
    {
        "chat": chat_whole,
        "chat, streamed": chat_streamed,
        "usage in a stream": usage_streamed,
        "tools": tools,
        "tools, streamed": tools_streamed,
        "json_schema": json_schema,
        "logprobs": logprobs,
        "n": several,
        "stop": stop,
        "seed": seed,
        "completions": completions,
        "completions, streamed": completions_streamed,
        "embeddings": embeddings,
        "models": models,
        "files": files,
        "uploads": uploads,
        "moderations": moderations,
        "responses": responses,
        "responses, streamed": responses_streamed,
        "responses: tools": responses_tools,
        "error 400": error_400,
        "error 401": error_401,
        "error 404": error_404,
        "policy's block": blocked,
        "leaves in mid-stream": leaves,
        **job_calls(client),
    },
    openai.__version__,
)
