"""LangChain's models of OpenAI's kind."""

from importlib.metadata import version
from itertools import islice

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field
from telling import BLOCKED, KEY, LONG, MODEL, TOOL, URL, raises, tell

WHERE = {"base_url": f"{URL}/v1", "api_key": KEY, "model": MODEL, "max_retries": 0}
TEXT = "espresso: strong black coffee"


class Place(BaseModel):
    """A form for an answer."""

    city: str = Field(max_length=8)


def chat(**changes: object) -> ChatOpenAI:
    return ChatOpenAI(**(WHERE | {"max_tokens": 8, "temperature": 0} | changes))


def whole() -> None:
    answer = chat().invoke(TEXT)
    assert answer.content
    assert answer.usage_metadata["output_tokens"] == 8


def streamed() -> None:
    assert "".join(chunk.content for chunk in chat().stream(TEXT))


def usage_streamed() -> None:
    chunks = list(chat(stream_usage=True).stream(TEXT))
    (usage,) = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    assert usage["output_tokens"] == 8


def tools() -> None:
    model = chat(max_tokens=64)
    answer = model.bind_tools([TOOL], tool_choice="required").invoke(TEXT)
    (call,) = answer.tool_calls
    assert (call["name"], list(call["args"])) == ("weather", ["city"])
    said = [HumanMessage(TEXT), answer, ToolMessage("sunny", tool_call_id=call["id"])]
    assert chat().bind_tools([TOOL]).invoke(said).response_metadata["finish_reason"]
    placed = model.with_structured_output(Place, method="function_calling").invoke(TEXT)
    assert isinstance(placed, Place)


def tools_streamed() -> None:
    bound = chat(max_tokens=64).bind_tools([TOOL], tool_choice="weather")
    chunks = list(bound.stream(TEXT))
    joined = sum(chunks[1:], chunks[0])
    assert list(joined.tool_calls[0]["args"]) == ["city"]


def json_schema() -> None:
    bound = chat(max_tokens=64).with_structured_output(Place, method="json_schema")
    assert isinstance(bound.invoke(TEXT), Place)


def logprobs() -> None:
    answer = chat(logprobs=True, top_logprobs=2).invoke(TEXT)
    assert len(answer.response_metadata["logprobs"]["content"]) == 8


def several() -> None:
    (answers,) = chat(n=2).generate([[HumanMessage(TEXT)]]).generations
    assert len(answers) == 2


def stop() -> None:
    text = chat().invoke(TEXT).content
    assert chat().invoke(TEXT, stop=[text[2]]).content == text[: text.index(text[2])]


def seed() -> None:
    assert len({chat(temperature=1, seed=7).invoke(TEXT).content for _ in range(2)}) == 1


def completions() -> None:
    assert OpenAI(**WHERE, max_tokens=4, temperature=0).invoke("a")


def completions_streamed() -> None:
    assert "".join(OpenAI(**WHERE, max_tokens=4, temperature=0).stream("a"))


def embeddings() -> None:
    # Without this it sends numbers of a tokenizer of OpenAI's models, which it would download.
    model = OpenAIEmbeddings(**WHERE, check_embedding_ctx_length=False)
    assert len(model.embed_documents(["a", "b"])) == 2
    assert model.embed_query("a")


def responses() -> None:
    answer = chat(use_responses_api=True).invoke(TEXT)
    assert answer.text
    assert answer.usage_metadata["output_tokens"] == 8


def responses_streamed() -> None:
    chunks = list(chat(use_responses_api=True).stream(TEXT))
    assert "".join(chunk.text for chunk in chunks)


def responses_tools() -> None:
    model = chat(use_responses_api=True, max_tokens=64).bind_tools([TOOL], tool_choice="required")
    answer = model.invoke(TEXT)
    (call,) = answer.tool_calls
    said = [HumanMessage(TEXT), answer, ToolMessage("sunny", tool_call_id=call["id"])]
    assert chat(use_responses_api=True).invoke(said).response_metadata["status"]


def error_400() -> None:
    wrong = chat(logit_bias={7: 1})
    raises(openai.BadRequestError, lambda: wrong.invoke(TEXT), "logit_bias")


def error_401() -> None:
    raises(openai.AuthenticationError, lambda: chat(api_key="mm-stranger").invoke(TEXT))


def error_404() -> None:
    raises(openai.NotFoundError, lambda: chat(model="nobody").invoke(TEXT), "nobody")


def blocked() -> None:
    raises(openai.BadRequestError, lambda: chat().invoke(BLOCKED), "no-eating")


def leaves() -> None:
    stream = chat(max_tokens=LONG).stream(TEXT)
    assert list(islice(stream, 2))
    stream.close()


tell(
    {
        "chat": whole,
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
        "responses": responses,
        "responses, streamed": responses_streamed,
        "responses: tools": responses_tools,
        "error 400": error_400,
        "error 401": error_401,
        "error 404": error_404,
        "policy's block": blocked,
        "leaves in mid-stream": leaves,
    },
    version("langchain-openai"),
)
