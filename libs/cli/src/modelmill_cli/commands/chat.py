"""`mill chat`: talk to a model through the gateway."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from httpx import RequestError
from modelmill_client import Modelmill, ModelmillError
from modelmill_client.wire import unreachable
from rich.console import Console

from modelmill_cli.gateway import DEFAULT_MODEL, connect
from modelmill_cli.short_ids import MODEL
from modelmill_cli.tables import LiveWords, loading_words, plain

if TYPE_CHECKING:
    from openai import APIError
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
    from openai.types.chat.chat_completion_chunk import Moderation

LOOK_SECONDS = 2.0
"""Between two looks at a model that is being loaded."""


def chat(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="Prompt; none starts a chat.")] = None,
    model: Annotated[str, typer.Option(help="Alias, name or version id.")] = DEFAULT_MODEL,
    system: Annotated[str, typer.Option(help="System message.")] = "",
    max_tokens: Annotated[int, typer.Option(help="Maximum number of new tokens.", min=1)] = 256,
) -> None:
    """Chat with a model; answers are streamed. An empty line ends the chat."""
    if context.args:
        raise typer.BadParameter("one prompt, in quotes; the model is --model NAME")
    client = connect(context.obj)
    model, openai = _full_id(client, model), client.openai()
    from openai import APIConnectionError, APIError  # as slow as the client itself

    console = Console(highlight=False)
    messages = _begun(system)
    question = prompt
    while question := (question or console.input("[bold]you:[/bold] ")).strip():
        messages.append({"role": "user", "content": question})
        try:
            # Returns with the first of the answer, which may have to wait for the model.
            with LiveWords(partial(_loading, client, model), _tell_loading, LOOK_SECONDS):
                chunks = openai.chat.completions.create(
                    model=model, messages=messages, max_tokens=max_tokens, stream=True
                )
            messages.append({"role": "assistant", "content": _shown(chunks, console)})
            _tell_request(chunks.response.headers.get("x-request-id", ""))
        except (APIConnectionError, RequestError) as error:
            raise _lost(error, client) from error
        except APIError as error:
            said = _refusal(error)
            if prompt is not None:
                raise ModelmillError(said) from error
            # A refused turn leaves the talk as it was; the next question may be a better one.
            console.print(plain(said), style="red")
            messages.pop()
        if prompt is not None:
            return
        question = None


def _begun(system: str) -> list["ChatCompletionMessageParam"]:
    """A chat with its system message alone, where there is one."""
    return [{"role": "system", "content": system}] if system else []


def _lost(error: Exception, client: Modelmill) -> ModelmillError:
    """That no answer came, or half of one; `error` is the SDK's, or of the connection itself."""
    cause = error if isinstance(error, RequestError) else error.__cause__
    if isinstance(cause, RequestError):
        return unreachable(cause, client.url)
    return ModelmillError(str(error))


def _full_id(client: Modelmill, model: str) -> str:
    if not model.startswith(MODEL.begins):
        return model  # a name, which is never shortened: the chat itself hears what is wrong
    return MODEL.full_id(client, model)


def _shown(chunks: "Iterable[ChatCompletionChunk]", console: Console) -> str:
    """An answer's text, printed as it comes; behind it the rules by which the policy ended it."""
    answer = stopped = ""
    try:
        for chunk in chunks:
            text = (chunk.choices[0].delta.content if chunk.choices else None) or ""
            console.out(text, end="", highlight=False)
            answer += text
            if chunk.moderation is not None:
                stopped = _rules_in(chunk.moderation)
    finally:
        console.print()  # an answer that breaks off ends its line, too
    if stopped:
        console.print(f"the policy ended it: {plain(stopped)}", style="red")
    return answer


def _tell_request(request_id: str) -> None:
    """By which id `mill feedback` judges the answer: beside it, and never in a pipe or a file."""
    if request_id:
        words = plain(f"mill feedback {request_id}")
        Console(stderr=True, highlight=False).print(words, style="dim", soft_wrap=True)


def _loading(client: Modelmill, model: str) -> str:
    """How far an engine is with loading the model; empty when none loads it, or nobody says."""
    try:
        return loading_words(client.models.retrieve(model))
    except ModelmillError:
        return ""  # what is wrong, the chat itself will hear


def _tell_loading(words: str) -> None:
    if words:
        typer.echo(words, err=True)


def _refusal(error: "APIError") -> str:
    """What the gateway said, without the JSON around it."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return str(said or error.message)


def _rules_in(moderation: "Moderation") -> str:
    """What matched in an answer, by rules and categories; our gateway names them."""
    if moderation.output.type != "moderation_results":
        return ""
    rules = [
        rule for each in moderation.output.results for rule in (each.model_extra or {})["rules"]
    ]
    return ", ".join(f"{rule['id']} ({rule['category']})" for rule in rules)
