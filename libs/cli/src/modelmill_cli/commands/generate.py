"""`mill data generate`: rows that a teacher writes about passages of documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from modelmill_service_kit.errors import InvalidInputError, PreconditionError
from rich.console import Console

from modelmill_cli.errors import WorkFailedError
from modelmill_cli.gateway import connect
from modelmill_cli.output import AsJson, print_json
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.tables import plain

if TYPE_CHECKING:
    from modelmill_cli.generating.generate_rows import GenerateRows, GenerationPlan
    from modelmill_cli.generating.prompts import Kind as RowKind
    from modelmill_cli.generating.source_passages import SourcePassages
    from modelmill_cli.generating.written_rows import JudgedRows
    from modelmill_cli.model_requests.budget import Budget
    from modelmill_cli.model_requests.chat_endpoint import ChatEndpoint

Sources = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="Documents, texts, globs, or folders of them."),
]
TeacherName = Annotated[
    str,
    typer.Option("--teacher", help="Alias or version that is served; or a model of --url."),
]
Output = Annotated[Path, typer.Option(help="File of rows to write; its journal lies beside it.")]
Url = Annotated[
    str, typer.Option(help="An OpenAI-compatible API of others, such as https://host/v1.")
]
KeyFile = Annotated[Path | None, typer.Option(help="File whose first line is the key for --url.")]
Kind = Annotated[str, typer.Option(help="What rows are: qa or instruction.")]
PerPassage = Annotated[int, typer.Option(min=1, max=20, help="Rows to ask for of each passage.")]
PassageTokens = Annotated[int, typer.Option(min=16, help="Most tokens of a passage.")]
AnswerTokens = Annotated[int, typer.Option(min=16, help="Most tokens of an answer of the teacher.")]
MinGrounding = Annotated[
    float,
    typer.Option(min=0.0, max=1.0, help="Share of an answer's content that its passage must have."),
]
MaxTokens = Annotated[int, typer.Option(min=0, help="Budget in tokens, over all runs; 0: none.")]
MaxCost = Annotated[float, typer.Option(min=0.0, help="Budget in money, over all runs; 0: none.")]
InputPrice = Annotated[float, typer.Option(min=0.0, help="Price of a million tokens of requests.")]
OutputPrice = Annotated[float, typer.Option(min=0.0, help="Price of a million tokens of answers.")]
Sample = Annotated[int, typer.Option(min=0, help="Rows to draw for people to look at.")]
Seed = Annotated[int, typer.Option(help="Seed of the sample.")]
AtOnce = Annotated[int, typer.Option(min=1, max=64, help="Requests that are open at a time.")]


@dataclass(frozen=True)
class Written:
    """Where rows go, and what is drawn of them."""

    output: Path
    sample: int
    seed: int
    min_grounding: float
    kind: str

    @property
    def sample_file(self) -> Path:
        return self.output.with_name(f"{self.output.stem}.sample.txt")

    @property
    def journal_file(self) -> Path:
        return self.output.with_name(f"{self.output.name}.journal")


def generate(
    context: typer.Context,
    sources: Sources,
    teacher: TeacherName,
    output: Output = Path("generated.jsonl"),
    url: Url = "",
    key_file: KeyFile = None,
    kind: Kind = "qa",
    per_passage: PerPassage = 3,
    passage_tokens: PassageTokens = 512,
    answer_tokens: AnswerTokens = 1024,
    min_grounding: MinGrounding = 0.6,
    max_tokens: MaxTokens = 0,
    max_cost: MaxCost = 0.0,
    input_price: InputPrice = 0.0,
    output_price: OutputPrice = 0.0,
    sample: Sample = 20,
    seed: Seed = 7,
    at_once: AtOnce = 4,
    as_json: AsJson = False,
) -> None:
    """Make rows about documents by a teacher; kept are those that stand on their passage.

    What was answered is kept, however the command ends: the same command goes on from there.
    """
    from modelmill_documents.passages import PassageSize

    from modelmill_cli.generating.generate_rows import GenerationPlan
    from modelmill_cli.generating.source_passages import read_passages

    budget = _budget(max_tokens, max_cost, input_price, output_price)
    plan = GenerationPlan(_kind(kind), per_passage, answer_tokens, at_once, budget)
    asked = _teacher(context.obj, teacher, url, key_file)
    found = read_passages(_files(sources), PassageSize(passage_tokens))
    document = _generated(asked, plan, found, Written(output, sample, seed, min_grounding, kind))
    if as_json:
        print_json(document)
    else:
        _print(document, Console(highlight=False))


def _generated(
    teacher: "ChatEndpoint",
    plan: "GenerationPlan",
    found: "SourcePassages",
    written: Written,
) -> Mapping[str, Any]:
    """Ask, and write what there is, also where something stops it."""
    from modelmill_cli.generating.generate_rows import GenerateRows
    from modelmill_cli.model_requests.answer_journal import AnswerJournal
    from modelmill_cli.model_requests.chat_endpoint import EndpointError
    from modelmill_cli.model_requests.send_requests import failure_words

    passages, console = found.passages, Console(stderr=True, highlight=False)
    for name, why in found.refused.items():
        console.print(plain(f"left out: {name}: {why}"), soft_wrap=True)

    def progress(done: int, total: int) -> None:
        if console.is_terminal:
            console.print(f"\r{done:,} of {total:,} passages", end="")

    with AnswerJournal(written.journal_file) as journal:
        work = GenerateRows(teacher, journal, plan, progress)
        try:
            is_done = work(passages)
        except EndpointError as error:
            kept = sum(1 for _ in work.answered(passages))
            if not kept:
                raise PreconditionError(f"{error.message}. Nothing was begun") from error
            words = failure_words(error, kept, len(passages), "passages")
            raise WorkFailedError(words) from error
        finally:
            if console.is_terminal:
                console.print()
            judged = _write(work, teacher, found, written)
        return _document(work, plan, found, judged, written) | {
            "stopped": None if is_done else "budget",
            "usage": plan.budget.document(journal.usage),
        }


def _write(
    work: "GenerateRows", teacher: "ChatEndpoint", found: "SourcePassages", written: Written
) -> "JudgedRows":
    from modelmill_cli.generating.written_rows import judge, write_rows, write_sample

    judged = judge(work.answered(found.passages), written.min_grounding)
    write_rows(judged.kept, written.output, teacher=teacher.name, kind=written.kind)
    write_sample(judged.kept, written.sample_file, count=written.sample, seed=written.seed)
    return judged


def _document(
    work: "GenerateRows",
    plan: "GenerationPlan",
    found: "SourcePassages",
    judged: "JudgedRows",
    written: Written,
) -> dict[str, Any]:
    return {
        "output": str(written.output),
        "sample": str(written.sample_file),
        "passages": len(found.passages),
        "answered": sum(1 for _ in work.answered(found.passages)),
        "asked_now": work.requests.asked,
        "rows": len(judged.kept),
        "rejected": dict(judged.rejected),
        "refused_passages": len(work.requests.refused),
        "refused_documents": dict(found.refused),
    }


def _print(document: Mapping[str, Any], console: Console) -> None:
    rejected = ", ".join(f"{count} {word}" for word, count in document["rejected"].items())
    usage = document["usage"]
    lines = [
        f"{document['output']}  {document['rows']:,} rows of {document['answered']:,} passages"
        f" (of {document['passages']:,})",
        f"rejected: {rejected or 'none'}",
        f"tokens: {usage['input_tokens']:,} asked, {usage['output_tokens']:,} answered"
        + (f"; cost {usage['cost']:.4f}" if usage["cost"] else ""),
        f"look at {document['sample']}, then mill data create {document['output']} --layout"
        " openai_chat",
    ]
    if document["refused_passages"]:
        lines.insert(1, f"the teacher refused {document['refused_passages']:,} passages")
    if document["stopped"]:
        lines.insert(1, "the budget is used up; a larger one goes on from here")
    for line in lines:
        console.print(plain(line), soft_wrap=True)


def _files(sources: Sequence[str]) -> list[Path]:
    """Files of paths, globs and folders, each once.

    Raises:
        InvalidInputError: Something names none.
    """
    from modelmill_recipes.recipe import files_named, no_file

    named = {source: files_named(source, Path()) for source in sources}
    if missing := [no_file(source, Path()) for source, files in named.items() if not files]:
        raise InvalidInputError(missing)
    return list(dict.fromkeys(file for files in named.values() for file in files))


def _teacher(state: StateFolder, name: str, url: str, key_file: Path | None) -> "ChatEndpoint":
    from modelmill_cli.generating.prompts import ANSWER_SCHEMA
    from modelmill_cli.model_requests.chat_endpoint import (
        ChatEndpoint,
        EndpointWords,
        external_client,
    )

    if url:
        return ChatEndpoint(external_client(url, key_file, EndpointWords()), name, url)
    if key_file is not None:
        raise InvalidInputError("--key-file is for a teacher of others. Name its --url, too")
    client = connect(state)
    return ChatEndpoint(client.openai, name, client.url, ANSWER_SCHEMA)


def _budget(max_tokens: int, max_cost: float, input_price: float, output_price: float) -> "Budget":
    from modelmill_cli.model_requests.budget import Budget

    if max_cost and not (input_price or output_price):
        raise InvalidInputError(
            "--max-cost needs prices. Give --input-price and --output-price of a million tokens"
        )
    return Budget(max_tokens or None, max_cost or None, input_price, output_price)


def _kind(word: str) -> "RowKind":
    from modelmill_cli.generating.prompts import KINDS

    for kind in KINDS:
        if kind == word:
            return kind
    raise InvalidInputError(f"--kind {word[:40]}: must be {' or '.join(KINDS)}")
