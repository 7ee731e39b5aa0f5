"""Anthropic's own client for Python."""

import anthropic
from anthropic import Anthropic
from telling import (
    BLOCKED,
    FUNCTION,
    KEY,
    LONG,
    MODEL,
    QUESTION,
    SCHEMA,
    URL,
    is_of_schema,
    raises,
    tell,
)

client = Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=60)
GREEDY = {"temperature": 0}
"""The client has no argument for it any more."""
ASKED = {"model": MODEL, "messages": QUESTION, "max_tokens": 8, "extra_body": GREEDY}
TOOL = {"name": "weather", "description": FUNCTION["description"], "input_schema": SCHEMA}
CALLING = ASKED | {"tools": [TOOL], "tool_choice": {"type": "any"}, "max_tokens": 64}


def message() -> None:
    answer = client.messages.create(**ASKED, system="Name the kind of thing.")
    assert answer.content[0].text
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 8)
    assert answer._request_id.startswith("req-")


def streamed() -> None:
    with client.messages.stream(**ASKED) as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert answer.content[0].text
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 8)
    assert answer.usage.input_tokens > 0


def tools() -> None:
    answer = client.messages.create(**CALLING)
    (call,) = answer.content
    assert (answer.stop_reason, call.name, list(call.input)) == ("tool_use", "weather", ["city"])
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    said = [*QUESTION, answer.to_param(), {"role": "user", "content": [result]}]
    assert client.messages.create(**(ASKED | {"messages": said, "tools": [TOOL]})).stop_reason
    with client.messages.stream(**CALLING) as stream:
        assert list(stream.get_final_message().content[0].input) == ["city"]


def json_schema() -> None:
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}
    answer = client.messages.create(**(ASKED | {"max_tokens": 64}), output_config=form)
    is_of_schema(answer.content[0].text)


def count() -> None:
    prompt = {"model": MODEL, "messages": QUESTION, "tools": [TOOL]}
    counted = client.messages.count_tokens(**prompt).input_tokens
    asked = client.messages.create(**(ASKED | {"tools": [TOOL]}))
    assert counted == asked.usage.input_tokens


def stop() -> None:
    whole = client.messages.create(**ASKED).content[0].text
    cut = client.messages.create(**ASKED, stop_sequences=[whole[2]])
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", whole[2])


def models() -> None:
    assert MODEL in [getattr(model, "name", "") for model in client.models.list()]


def error_400() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    said = {"messages": [{"role": "user", "content": [image]}]}
    raises(anthropic.BadRequestError, lambda: client.messages.create(**(ASKED | said)), "image")


def error_401() -> None:
    stranger = client.with_options(api_key="mm-stranger")
    raises(anthropic.AuthenticationError, lambda: stranger.messages.create(**ASKED))


def error_404() -> None:
    wrong = ASKED | {"model": "nobody"}
    raises(anthropic.NotFoundError, lambda: client.messages.create(**wrong), "nobody")


def blocked() -> None:
    said = ASKED | {"messages": [{"role": "user", "content": BLOCKED}]}
    raises(anthropic.BadRequestError, lambda: client.messages.create(**said), "no-eating")


def leaves() -> None:
    with client.messages.stream(**(ASKED | {"max_tokens": LONG})) as stream:
        next(iter(stream.text_stream))


tell(
    {
        "messages": message,
        "messages, streamed": streamed,
        "messages: tools": tools,
        "messages: json_schema": json_schema,
        "messages: count_tokens": count,
        "stop": stop,
        "models": models,
        "error 400": error_400,
        "error 401": error_401,
        "error 404": error_404,
        "policy's block": blocked,
        "leaves in mid-stream": leaves,
    },
    anthropic.__version__,
)
