"""LiteLLM's library, by OpenAI's dialect and by Anthropic's."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it looks for prices on the net

from importlib.metadata import version

import litellm
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
    until,
)

litellm.suppress_debug_info = True
WHERE = {"api_base": f"{URL}/v1", "api_key": KEY, "num_retries": 0, "max_retries": 0}
OURS = {"custom_llm_provider": "openai", "api_base": f"{URL}/v1", "api_key": KEY}
ASKED = {"model": f"openai/{MODEL}", "messages": QUESTION, "max_tokens": 8, "temperature": 0}
ASKED |= WHERE
CALLING = ASKED | {"tools": [TOOL], "tool_choice": "required", "max_tokens": 64}
ANTHROPICS = ASKED | {"model": f"anthropic/{MODEL}", "api_base": URL}


def chat() -> None:
    answer = litellm.completion(**ASKED)
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens == 8


def streamed() -> None:
    chunks = list(litellm.completion(**ASKED, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def usage_streamed() -> None:
    options = {"include_usage": True}
    chunks = list(litellm.completion(**ASKED, stream=True, stream_options=options))
    assert chunks[-1].usage.completion_tokens == 8


def tools() -> None:
    (call,) = litellm.completion(**CALLING).choices[0].message.tool_calls
    is_of_schema(call.function.arguments)


def tools_streamed() -> None:
    chunks = list(litellm.completion(**CALLING, stream=True))
    answer = litellm.stream_chunk_builder(chunks)
    is_of_schema(answer.choices[0].message.tool_calls[0].function.arguments)


def json_schema() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    answer = litellm.completion(**(ASKED | {"max_tokens": 64}), response_format=form)
    is_of_schema(answer.choices[0].message.content)


def logprobs() -> None:
    answer = litellm.completion(**ASKED, logprobs=True, top_logprobs=2)
    assert len(answer.choices[0].logprobs.content) == 8


def several() -> None:
    assert len(litellm.completion(**ASKED, n=2).choices) == 2


def stop() -> None:
    text = litellm.completion(**ASKED).choices[0].message.content
    cut = litellm.completion(**ASKED, stop=[text[2]])
    assert (cut.choices[0].message.content or "") == text[: text.index(text[2])]


def seed() -> None:
    asked = ASKED | {"temperature": 1, "seed": 7}
    answers = [litellm.completion(**asked) for _ in range(2)]
    assert len({answer.choices[0].message.content for answer in answers}) == 1


GREEDY = {"temperature": 0, **WHERE}
COMPLETING = {"model": f"text-completion-openai/{MODEL}", "prompt": "a", "max_tokens": 4, **GREEDY}


def completions() -> None:
    assert litellm.text_completion(**COMPLETING).choices[0].text


def completions_streamed() -> None:
    chunks = list(litellm.text_completion(**COMPLETING, stream=True))
    assert "".join(chunk.choices[0].text or "" for chunk in chunks)


def embeddings() -> None:
    answer = litellm.embedding(model=f"openai/{MODEL}", input=["a", "b"], **WHERE)
    assert len(answer.data) == 2


def files() -> None:
    stored = litellm.create_file(file=("rows.jsonl", ROWS), purpose="fine-tune", **OURS)
    assert stored.id in [file.id for file in litellm.file_list(**OURS)]
    assert litellm.file_content(file_id=stored.id, **OURS).content == ROWS
    assert litellm.file_delete(file_id=stored.id, **OURS).deleted


def moderations() -> None:
    answer = litellm.moderation(input=BLOCKED, model=f"openai/{MODEL}", **WHERE)
    assert answer.results[0].flagged


class Training:
    """A training job, as far as it has calls for it."""

    id = ""

    def create(self) -> None:
        stored = litellm.create_file(file=("rows.jsonl", ROWS), purpose="fine-tune", **OURS)
        made = litellm.create_fine_tuning_job(model=MODEL, training_file=stored.id, **OURS)
        self.id = made.id

    def listed(self) -> None:
        assert self.id in [job.id for job in litellm.list_fine_tuning_jobs(**OURS)]

    def cancel(self) -> None:
        litellm.cancel_fine_tuning_job(fine_tuning_job_id=self.id, **OURS)
        job = litellm.retrieve_fine_tuning_job(fine_tuning_job_id=self.id, **OURS)
        assert job.id == self.id


def batches() -> None:
    body = f'{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "a"}}]}}'
    line = '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": '
    content = f"{line}{body}}}\n".encode()
    stored = litellm.create_file(file=("batch.jsonl", content), purpose="batch", **OURS)
    batch = litellm.create_batch(
        completion_window="24h",
        endpoint="/v1/chat/completions",
        input_file_id=stored.id,
        **OURS,
    )
    until(180, lambda: litellm.retrieve_batch(batch_id=batch.id, **OURS).status == "completed")


RESPONDING = {"model": f"openai/{MODEL}", "input": "hello", **GREEDY}


def responses() -> None:
    assert litellm.responses(**RESPONDING, max_output_tokens=8).output_text


def responses_streamed() -> None:
    events = list(litellm.responses(**RESPONDING, max_output_tokens=8, stream=True))
    # It calls the event "completed", whatever came.
    assert events[-1].response.status == "incomplete"


def responses_tools() -> None:
    tool = {"type": "function", **FUNCTION}
    answer = litellm.responses(
        **RESPONDING, tools=[tool], tool_choice="required", max_output_tokens=64
    )
    is_of_schema(answer.output[0].arguments)


def messages() -> None:
    answer = litellm.completion(**ANTHROPICS)
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens == 8


def messages_streamed() -> None:
    chunks = list(litellm.completion(**ANTHROPICS, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def messages_tools() -> None:
    asked = ANTHROPICS | {"tools": [TOOL], "tool_choice": "required", "max_tokens": 64}
    (call,) = litellm.completion(**asked).choices[0].message.tool_calls
    is_of_schema(call.function.arguments)


def error_400() -> None:
    wrong = ASKED | {"logit_bias": {"7": 1}}
    raises(litellm.BadRequestError, lambda: litellm.completion(**wrong), "logit_bias")


def error_401() -> None:
    wrong = ASKED | {"api_key": "mm-stranger"}
    raises(litellm.AuthenticationError, lambda: litellm.completion(**wrong))


def error_404() -> None:
    wrong = ASKED | {"model": "openai/nobody"}
    raises(litellm.NotFoundError, lambda: litellm.completion(**wrong), "nobody")


def blocked() -> None:
    said = ASKED | {"messages": [{"role": "user", "content": BLOCKED}]}
    raises(litellm.BadRequestError, lambda: litellm.completion(**said), "no-eating")


def leaves() -> None:
    stream = litellm.completion(**(ASKED | {"max_tokens": LONG}), stream=True)
    next(iter(stream))
    stream.completion_stream.response.close()


job = Training()
tell(
    {
        "chat": chat,
        "chat, streamed": streamed,
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
        "files": files,
        "moderations": moderations,
        "batches": batches,
        "fine_tuning: create": job.create,
        "fine_tuning: list": job.listed,
        "fine_tuning: cancel": job.cancel,
        "responses": responses,
        "responses, streamed": responses_streamed,
        "responses: tools": responses_tools,
        "messages": messages,
        "messages, streamed": messages_streamed,
        "messages: tools": messages_tools,
        "error 400": error_400,
        "error 401": error_401,
        "error 404": error_404,
        "policy's block": blocked,
        "leaves in mid-stream": leaves,
    },
    version("litellm"),
)
