"""The rows of the table: what a client may be asked to do, and who the clients are."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
PYTHON = ROOT / "build" / "clients" / "bin" / "python"
NODE_MODULES = ROOT / "build" / "clients-node" / "node_modules"

CALLS = (
    *("chat", "chat, streamed", "usage in a stream", "tools", "tools, streamed"),
    *("json_schema", "logprobs", "n", "stop", "seed"),
    *("completions", "completions, streamed", "embeddings", "models"),
    *("files", "uploads", "moderations", "batches"),
    *("fine_tuning: create", "fine_tuning: list", "fine_tuning: events", "fine_tuning: pause"),
    *("fine_tuning: checkpoints", "fine_tuning: resume", "fine_tuning: cancel"),
    *("evals", "evals: run"),
    *("responses", "responses, streamed", "responses: tools"),
    *("messages", "messages, streamed", "messages: tools", "messages: json_schema"),
    "messages: count_tokens",
    *("error 400", "error 401", "error 404", "policy's block", "leaves in mid-stream"),
)


@dataclass(frozen=True)
class Client:
    """One column: a program that uses the client, and whose version is told."""

    name: str
    package: str
    program: str

    @property
    def is_python(self) -> bool:
        """Whether it runs in the Python environment, else by Node."""
        return self.program.endswith(".py")

    @property
    def command(self) -> list[str]:
        """What runs it."""
        file = str(PROGRAMS / self.program)
        return [str(PYTHON), file] if self.is_python else ["node", file]


CLIENTS = (
    Client("openai, Python", "openai", "with_openai.py"),
    Client("openai, Node", "openai", "with_openai.mjs"),
    Client("anthropic, Python", "anthropic", "with_anthropic.py"),
    Client("anthropic, Node", "@anthropic-ai/sdk", "with_anthropic.mjs"),
    Client("LangChain", "langchain-openai", "with_langchain.py"),
    Client("LiteLLM", "litellm", "with_litellm.py"),
)
