"""`mill data generate`: rows about documents, kept through every end, within a budget."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support.teachers import (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    TeacherServer,
    pairs,
    passage_of,
    teaching,
)
from modelmill_cli.app import CANNOT, INTERRUPTED, WORK_FAILED, run_app

pytestmark = pytest.mark.tier("test")
FACTS = ("valve", "pump", "boiler", "engine", "turbine", "filter", "sensor", "gasket")


def sentence(part: str) -> str:
    return f"The {part} is inspected every year by a certified engineer of the plant."


def answer_about(prompt: str) -> str:
    """A good pair about the passage, and one from nowhere."""
    part = passage_of(prompt).split()[1]
    return pairs(
        (f"Who inspects the {part}?", f"A certified engineer inspects the {part}."),
        (f"What colour has the {part}?", "Probably some beautiful shade of purple paint."),
    )


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for part in FACTS:
        (folder / f"{part}.md").write_text(f"{sentence(part)}\n", encoding="utf-8")
    return folder


@pytest.fixture
def server() -> Iterator[TeacherServer]:
    with teaching(answer_about) as running:
        yield running


def generate(server: TeacherServer, documents: Path, *more: str) -> int:
    output = documents.parent / "rows.jsonl"
    arguments = ["data", "generate", str(documents), "--teacher", "big", "--url", server.url]
    return run_app([*arguments, "--output", str(output), *more])


def rows_of(documents: Path) -> list[dict[str, Any]]:
    lines = (documents.parent / "rows.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_rows_name_their_place_and_what_is_not_grounded_is_left_out(
    server: TeacherServer, documents: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (documents / "bad.pdf").write_bytes(b"no PDF")
    key = documents.parent / "key"
    key.write_text("sk-secret\n", encoding="utf-8")

    assert generate(server, documents, "--key-file", str(key), "--json") == 0

    shown = capfd.readouterr()
    document = json.loads(shown.out)
    assert document["rows"] == len(FACTS)
    assert document["rejected"] == {"ungrounded": len(FACTS)}
    assert list(document["refused_documents"]) == ["bad.pdf"]
    assert "bad.pdf: the file is no PDF" in shown.err
    first = rows_of(documents)[0]
    assert first["messages"] == [
        {"role": "user", "content": "Who inspects the boiler?"},
        {"role": "assistant", "content": "A certified engineer inspects the boiler."},
    ]
    assert first["document"] == {"file": "boiler.md", "page": None, "section": "", "offset": 0}
    assert first["teacher"] == "big"
    assert set(server.keys) == {"Bearer sk-secret"}
    sample = (documents.parent / "rows.sample.txt").read_text("utf-8")
    assert sentence("boiler") in sample
    assert "sk-secret" not in sample + shown.out + shown.err


def test_the_same_command_asks_nobody_again_and_another_limit_neither(
    server: TeacherServer, documents: Path
) -> None:
    assert generate(server, documents) == 0
    first = rows_of(documents)
    asked = len(server.prompts)

    assert generate(server, documents) == 0
    assert rows_of(documents) == first
    assert generate(server, documents, "--min-grounding", "0") == 0
    assert len(rows_of(documents)) == 2 * len(FACTS)
    assert len(server.prompts) == asked == len(FACTS)


def test_a_budget_in_tokens_or_money_is_not_passed_and_a_larger_one_goes_on(
    server: TeacherServer, documents: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = INPUT_TOKENS + OUTPUT_TOKENS
    limits = ["--answer-tokens", "20", "--at-once", "3", "--json"]
    assert generate(server, documents, "--max-tokens", str(5 * one), *limits) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["stopped"] == "budget"
    assert 0 < document["answered"] == len(rows_of(documents)) <= 5
    usage = document["usage"]
    assert usage["input_tokens"] + usage["output_tokens"] <= 5 * one

    prices = ["--input-price", "10000", "--output-price", "0"]
    assert generate(server, documents, "--max-cost", "6", *prices, *limits) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["usage"]["cost"] <= 6
    assert generate(server, documents, *limits) == 0
    assert json.loads(capfd.readouterr().out)["stopped"] is None
    assert len(rows_of(documents)) == len(server.prompts) == len(FACTS)


def test_what_was_answered_before_a_teacher_went_away_is_kept(
    server: TeacherServer, documents: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.answers = lambda prompt: answer_about(prompt) if len(server.prompts) < 4 else 401
    assert generate(server, documents, "--at-once", "1") == WORK_FAILED
    assert "3 of 8 passages are done and kept" in capfd.readouterr().err
    assert len(rows_of(documents)) == 3

    server.answers = answer_about
    assert generate(server, documents) == 0
    assert len(rows_of(documents)) == len(FACTS)
    assert len(server.prompts) == len(FACTS) + 1


def test_a_teacher_that_is_not_there_or_refuses_is_named_with_a_remedy(
    server: TeacherServer, documents: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for status, said in ((404, "no teacher 'big'"), (403, "refuses the key")):
        server.answers = lambda _, status=status: status
        assert generate(server, documents, "--at-once", "1") == CANNOT
        assert said in capfd.readouterr().err
    server.answers = lambda _: 400
    assert generate(server, documents, "--at-once", "1") == CANNOT
    assert "refuses every request (400: status 400)" in capfd.readouterr().err
    server.shutdown()
    server.server_close()
    assert generate(server, documents, "--at-once", "1") == CANNOT
    assert "does not answer" in capfd.readouterr().err


def test_an_alias_is_asked_at_the_gateway_with_a_schema(
    server: TeacherServer, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELMILL_URL", server.url.removesuffix("/v1"))
    monkeypatch.setenv("MODELMILL_TOKEN", "token")
    output = documents.parent / "rows.jsonl"
    arguments = ["data", "generate", str(documents), "--teacher", "alias", "--output", str(output)]
    assert run_app(arguments) == 0
    assert len(rows_of(documents)) == len(FACTS)
    assert set(server.keys) == {"Bearer token"}
    assert all(body["model"] == "alias" for body in server.bodies)
    assert all(body["response_format"]["type"] == "json_schema" for body in server.bodies)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_after_a_signal_at_any_moment_only_what_was_not_answered_is_asked_again(
    server: TeacherServer, documents: Path, number: signal.Signals
) -> None:
    hold, reached = threading.Event(), threading.Semaphore(0)

    def answers(prompt: str) -> str:
        if len(server.prompts) > 3:
            reached.release()
            hold.wait(60)
        return answer_about(prompt)

    server.answers = answers
    output = documents.parent / "rows.jsonl"
    command = [sys.executable, "-m", "modelmill_cli.main", "data", "generate", str(documents)]
    command += ["--teacher", "big", "--url", server.url, "--output", str(output), "--at-once", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert reached.acquire(timeout=120)
        os.kill(process.pid, number)
        if number == signal.SIGKILL:
            process.wait()
        hold.set()
        assert process.wait(60) in (INTERRUPTED, -signal.SIGKILL)

    journal = output.with_name("rows.jsonl.journal").read_bytes()
    answered = journal.count(b"\n")
    assert answered == (4 if number == signal.SIGINT else 3)
    server.answers = answer_about
    before = len(server.prompts)
    assert generate(server, documents) == 0
    assert len(server.prompts) - before == len(FACTS) - answered
    assert len(rows_of(documents)) == len(FACTS)


def test_a_line_of_the_journal_that_was_cut_short_is_asked_for_again(
    server: TeacherServer, documents: Path
) -> None:
    assert generate(server, documents) == 0
    journal = documents.parent / "rows.jsonl.journal"
    journal.write_bytes(journal.read_bytes()[:-5])
    assert generate(server, documents) == 0
    assert len(server.prompts) == len(FACTS) + 1
    assert len(rows_of(documents)) == len(FACTS)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--kind", "poem"], "--kind poem: must be qa or instruction"),
        (["--max-cost", "1"], "--max-cost needs prices"),
        (["--url", "ftp://host"], "no address"),
        (["--url", "http://example.com/v1", "--key-file", "{key}"], "without encryption"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anybody_is(
    server: TeacherServer,
    documents: Path,
    capfd: pytest.CaptureFixture[str],
    more: list[str],
    said: str,
) -> None:
    key = documents.parent / "key"
    key.write_text("sk-secret", encoding="utf-8")
    assert generate(server, documents, *(each.format(key=key) for each in more)) == CANNOT
    assert said in capfd.readouterr().err
    assert not server.prompts
