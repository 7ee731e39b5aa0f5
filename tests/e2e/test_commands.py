"""Commands of `mill` alone, over a real stack: from rows to a served model."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from modelmill_testkit.hub_server import running_hub
from modelmill_testkit.lora_adapters import make_lora_adapter
from modelmill_testkit.models import make_tiny_llama

from tests.bad_input.mill import mill
from tests.e2e.conftest import Loop, write_rows

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    pytest.mark.tier("journeys"),
]


class Terminal:
    """Runs commands on a stack, to their ends."""

    def __init__(self, loop: Loop) -> None:
        self._state = loop.state.path

    async def run(self, *words: str) -> str:
        """What it says."""
        done = await asyncio.to_thread(mill, self._state, *words)
        assert done.status == 0, done.err
        return done.out

    async def made(self, *words: str) -> Any:
        """The document that it prints for programs."""
        return json.loads(await self.run(*words, "--json"))


async def test_rows_become_a_served_model_by_commands_alone(loop: Loop, tmp_path: Path) -> None:
    terminal = Terminal(loop)
    rows = write_rows(tmp_path / "rows.jsonl", 60)
    file_id = (await terminal.run("files", "upload", str(rows))).split()[0]
    user = ["--user", "{word}: {gloss}", "--answer", "{label}", "--name", "kinds"]
    dataset_id = (await terminal.made("data", "create", file_id, *user))["dataset_id"]
    assert (await terminal.made("data", "show", dataset_id))["counts"]["rows_in"] == 60

    chosen = ["--learning-rate", "0.01", "--epochs", "2", "--batch-size", "8"]
    base, rank = loop.base_version_id, "hyperparameters.lora_rank=4"
    words = ["train", base, dataset_id, "--name", "kinds", *chosen, "--set", rank]
    trained = await terminal.made(*words)
    version_id = trained["result"]["version_id"]
    *_, last = (await terminal.run("jobs", "logs", trained["id"])).splitlines()
    assert datetime.fromisoformat(last.split()[0])
    compared = await terminal.made("models", "diff", base, version_id)
    assert compared["fields"]["form"] == ["safetensors", "adapter"]
    assert compared["spec"]["dataset_id"] == [None, dataset_id]

    job_id = (await terminal.run("optimize", version_id, "--max-rows", "1", "--no-wait")).strip()
    assert (await terminal.made("jobs", "cancel", job_id))["desired_state"] == "cancel"
    await terminal.run("models", "alias", "commanded", version_id)
    await answers_a_batch(terminal, tmp_path)


async def test_a_suite_is_measured_as_one_job_with_its_mean(loop: Loop) -> None:
    terminal = Terminal(loop)
    files = len((await terminal.run("files", "list", "--json")).splitlines())
    words = ["eval", "--suite", "wordnet", loop.base_version_id, "--max-rows", "4"]
    words += ["--compare-to", loop.base_version_id]
    summary = (await terminal.made(*words))["result"]["summary"]

    assert set(summary["suites"]) == {"wordnet_kind", "wordnet_word"}
    suite = summary["suite"]
    assert (suite["name"], suite["license"]) == ("wordnet", "WordNet-3.0")
    assert suite["mean"]["model"]["rows"] == 8
    assert suite["mean"]["comparison"]["difference"]["value"] == 0
    assert "mean of 2 tasks" in await terminal.run(*words)
    # The second run sent no file.
    assert len((await terminal.run("files", "list", "--json")).splitlines()) == files + 2


async def test_a_served_judge_scores_answers_and_decides_once_its_agreement_allows_it(
    loop: Loop, tmp_path: Path
) -> None:
    terminal = Terminal(loop)
    suite = write_replies(tmp_path)
    judge, references = tmp_path / "judge.yaml", tmp_path / "references.jsonl"
    labels = "labels: {good: 1, bad: 0}\nrubric: A reply is good if it is right.\n"
    long = make_tiny_llama(tmp_path / "long", context_tokens=8192)
    await terminal.run("models", "import", str(long), "--name", "grader")
    judge.write_text(f"name: replies\nmodel: grader\n{labels}")
    rows = [{"answer": f"reply {n}", "label": ("good", "bad")[n % 2]} for n in range(20)]
    references.write_text("".join(json.dumps(row) + "\n" for row in rows))

    evaluated = ["eval", "--suite", str(suite), loop.base_version_id, "--judge", str(judge)]
    judged = (await terminal.made(*evaluated))["judged"]
    assert judged["rows"] == 2
    assert judged["decides"] is False
    assert judged["why"].startswith("agreement unknown: none is published")

    calibrated = await terminal.made("eval", "judge", "calibrate", str(judge), str(references))
    assert calibrated["rows"] == 20
    # A tiny model judges by chance: what is published says so, and keeps it from deciding.
    assert calibrated["decides"] is False
    assert calibrated["file_id"] in await terminal.run("files", "list")
    shown = await terminal.run("eval", "judge", "show", str(judge))
    assert "agreement too low" in shown
    refused = await asyncio.to_thread(mill, loop.state.path, *evaluated, "--protect", "judge=0.5")
    assert refused.status == 2
    assert "may not decide: agreement too low" in refused.err


def write_replies(folder: Path) -> Path:
    """A suite of one task, whose answers no metric can compare."""
    suite = folder / "replies"
    suite.mkdir()
    (suite / "suite.yaml").write_text("name: replies\nlicense: CC0-1.0\ntasks: [task.yaml]\n")
    (suite / "task.yaml").write_text(
        "task: replies\noutput_type: generate_until\ndoc_to_text: ticket\ndoc_to_target: reply\n"
        "dataset_kwargs: {data_files: rows.jsonl}\ngeneration_kwargs: {max_gen_toks: 8}\n"
    )
    rows = [{"ticket": f"Ticket {n}:", "reply": "It is mended."} for n in range(2)]
    (suite / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suite


async def answers_a_batch(terminal: Terminal, folder: Path) -> None:
    """Of one request."""
    question = {"messages": [{"role": "user", "content": "thing 7: something that barks"}]}
    body = {"model": "commanded", "max_tokens": 4, **question}
    asked = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    requests, answers = folder / "requests.jsonl", folder / "answers.jsonl"
    requests.write_text(json.dumps(asked))
    batch = await terminal.made("batch", "create", str(requests))
    assert batch["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    await terminal.run("batch", "download", batch["id"], "--output", str(answers))
    assert json.loads(answers.read_text())["custom_id"] == "a"


async def test_a_model_and_an_adapter_of_a_hub_are_imported_and_answer(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_tiny_llama(tmp_path / "base", seed=5)
    adapter = make_lora_adapter(tmp_path / "lora", base, base_name="org/tiny")
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        for name, folder in (("org/tiny", base), ("me/lora", adapter)):
            hub.add(name, {file.name: file.read_bytes() for file in folder.iterdir()})
        commit = hub.repositories["models", "org/tiny"].commit
        terminal = Terminal(loop)

        lora = await terminal.made("models", "import", "hf://me/lora")

    shown = await terminal.made("models", "show", lora["id"])
    assert shown["form"] == "adapter"
    card = (await terminal.made("models", "card", shown["parent_version_id"]))["card"]
    assert f"`hf://org/tiny` at the commit `{commit}`" in card
    assert "`apache-2.0`" in card
    asked = ["--model", lora["id"], "--max-tokens", "4", "hello"]
    await terminal.run("chat", *asked)


async def test_the_state_is_verified_exported_and_extended(loop: Loop, tmp_path: Path) -> None:
    terminal = Terminal(loop)
    for line in (await terminal.run("state", "verify", "--json")).splitlines():
        assert json.loads(line)["difference"] == ""
    exported = await terminal.made("state", "export", str(tmp_path / "state.gz"))
    assert exported["messages"] > 1
    imported = await terminal.made("models", "import", str(loop.state.path.parent / "base"))
    assert imported["id"].startswith("mv-")
