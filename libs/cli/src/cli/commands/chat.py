"""`mill chat`: talk to a model through the gateway."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from service_kit.errors import UnavailableError

from cli.errors import GatewayError
from cli.gateway_client import Connection, unreachable

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionMessageParam


def chat(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="One question; none starts a talk.")] = None,
    model: Annotated[str, typer.Option(help="Alias or version id.")] = "default",
    system: Annotated[str, typer.Option(help="System turn.")] = "",
    max_tokens: Annotated[int, typer.Option(help="New tokens at most.", min=1)] = 256,
) -> None:
    """Talk to a model; the answer streams as it is generated. An empty line ends the talk."""
    client = Connection.find(context.obj).openai()
    from openai import APIConnectionError, APIStatusError  # as slow as the client itself

    console = Console(highlight=False)
    messages: list[ChatCompletionMessageParam] = []
    if system:
        messages.append({"role": "system", "content": system})
    question = prompt
    while question := (question or console.input("[bold]you:[/bold] ")).strip():
        messages.append({"role": "user", "content": question})
        answer = ""
        try:
            for text in _answer(client, model, messages, max_tokens):
                console.out(text, end="", highlight=False)
                answer += text
            console.print()
        except APIConnectionError as error:
            raise UnavailableError(unreachable(error) or str(error)) from error
        except APIStatusError as error:
            if prompt is not None:
                raise GatewayError(error.message) from error
            # A refused turn leaves the talk as it was; the next question may be a better one.
            console.print(f"[red]{error.message}[/red]")
            messages.pop()
        else:
            messages.append({"role": "assistant", "content": answer})
        if prompt is not None:
            return
        question = None


def _answer(
    client: "OpenAI", model: str, messages: "list[ChatCompletionMessageParam]", max_tokens: int
) -> Iterator[str]:
    """Pieces of one answer as they come."""
    for chunk in client.chat.completions.create(
        model=model, messages=messages, max_tokens=max_tokens, stream=True
    ):
        yield (chunk.choices[0].delta.content if chunk.choices else None) or ""
