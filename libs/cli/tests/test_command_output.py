"""What commands print: JSON for programs, everywhere alike, and plain lines for people.

They ask a real gateway, whose tenant has something of every kind.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from cli_support.command_tree import LEAVES
from cli_support.real_gateway import asks, furnished_house, logged_request
from gateway_support.estate import Estate
from gateway_support.house import House
from modelmill_cli.app import run_app
from modelmill_cli.keys import LocalKeys
from modelmill_client import Modelmill
from typer.core import TyperOption

WITHOUT_JSON = {
    "mill up": "runs until Ctrl-C",
    "mill chat": "a talk; programs have the OpenAI SDK",
    "mill recipe schema": "prints JSON as it is",
}
OF_AN_INSTANCE = {
    *(f"mill models {it}" for it in ("import", "export")),
    *(f"mill state {it}" for it in ("verify", "export", "import", "upgrade")),
    *("mill backup", "mill restore", "mill console"),
    *("mill demo", "mill doctor", "mill support", "mill moderation labelled", "mill data export"),
    *("mill verify", "mill logs"),
}
"""Commands that need an instance on this machine: their own tests have its JSON."""
OF_OPERATORS = {name for name in LEAVES if name.startswith("mill tenants ")} | {
    *("mill status", "mill alerts"),
}
"""Commands that need the scope `operator`: `test_tenants_command` has their JSON."""
JUDGING = {"mill eval judge calibrate", "mill eval judge score", "mill eval judge show"}
"""Commands with a judge: `test_judges_command` has their JSON."""
OF_TEACHERS = {"mill data generate", *JUDGING}
"""Commands that ask a model, or need what it said: `test_generate_command` has the first's JSON."""

LISTS = {
    "mill certs": "certificates",
    "mill files list": "",
    "mill files upload": "rows.jsonl",
    "mill data list": "",
    "mill eval suites": "",
    "mill eval rows": "{evaluations}",
    "mill jobs list": "",
    "mill jobs logs": "{cancelled_job}",
    "mill jobs checkpoints": "{new_job}",
    "mill models list": "",
    "mill batch list": "",
    "mill experiments list": "",
    "mill requests list": "",
    "mill webhooks list": "",
    "mill webhooks deliveries": "{webhooks}",
    "mill keys list": "",
    "mill moderation versions": "",
    "mill usage": "",
    "mill audit": "",
}
"""Commands that print a list, and their arguments."""
DOCUMENTS = {
    "mill keys new": "keys",
    "mill keys provenance": "provenance",
    "mill token": "--keys own-keys",
    "mill bus identities": "identities",
    "mill run": "recipe.yaml --plan",
    "mill recipe new": "--data rows.jsonl --kind chat --base mv-own-base --output new.yaml",
    "mill recipe check": "recipe.yaml",
    "mill store sweep": "artifacts",
    "mill moderation test": "rows.jsonl --text --policy policy.yaml",
    "mill files show": "{files}",
    "mill files download": "{files} --output target",
    "mill files delete": "{new_file}",
    "mill data create": "{files} --layout openai_chat --no-wait --set seed=7",
    "mill data show": "{datasets}",
    "mill data delete": "{datasets}",
    "mill data preview": "{files} --layout openai_chat",
    "mill data generate": "passages.txt --teacher mv-own --output made.jsonl",
    "mill data explain": "{datasets} 1",
    "mill data compare": "{datasets} {new_dataset}",
    "mill data report": "{datasets} --output target",
    "mill train": "mv-own-base {datasets} --name kinds --epochs 2 --no-wait",
    "mill optimize": "mv-own-base --no-wait",
    "mill eval run": "mv-own --dataset {datasets} --no-wait",
    "mill eval show": "{evaluations}",
    "mill eval report": "{evaluations} --output target",
    "mill jobs show": "{jobs}",
    "mill jobs metrics": "{jobs}",
    "mill jobs compare": "{new_job} {new_job}",
    "mill jobs candidates": "{optimizations}",
    "mill jobs watch": "{cancelled_job}",
    "mill jobs pause": "{new_job}",
    "mill jobs resume": "{paused_job}",
    "mill jobs cancel": "{new_job}",
    "mill models show": "mv-own",
    "mill models forms": "mv-own",
    "mill models card": "mv-own",
    "mill models diff": "mv-own mv-own-base",
    "mill models alias": "other mv-own",
    "mill models unalias": "{new_alias}",
    "mill models delete": "{new_alias}",
    "mill batch create": "requests.jsonl --no-wait",
    "mill batch show": "{batches}",
    "mill batch cancel": "{batches}",
    "mill batch download": "{batches} --output target",
    "mill experiments create": "{compared_alias} mv-own --primary completion",
    "mill experiments show": "{experiments}",
    "mill experiments stop": "{new_experiment}",
    "mill experiments replay": "{experiments}",
    "mill requests show": "{logged_request}",
    "mill requests export": "exported.jsonl",
    "mill requests delete-user": "ann --yes",
    "mill webhooks create": "http://127.0.0.1:9/hook",
    "mill webhooks show": "{webhooks}",
    "mill webhooks update": "{webhooks} --disable",
    "mill webhooks rotate": "{webhooks}",
    "mill webhooks test": "{webhooks}",
    "mill webhooks delete": "{new_webhook}",
    "mill keys create": "another",
    "mill keys show": "{keys}",
    "mill keys limit": "{keys} --tokens 100",
    "mill keys rotate": "{new_key}",
    "mill keys revoke": "{new_key}",
    "mill budget show": "",
    "mill budget set": "--tokens 1000000",
    "mill moderation show": "",
    "mill moderation apply": "policy.yaml --dry-run",
    "mill moderation revert": "--shared",
    "mill capacity": "--rps 5 --p95 3000",
    "mill whoami": "",
    "mill feedback": "req-0b8f --rating good",
}
"""Commands that print one document, and their arguments."""
REFUSED = {
    "mill data delete": "is in use by",
    "mill eval report": "no finished evaluation",
    "mill eval rows": "no finished evaluation",
    "mill jobs candidates": "no search that has ended",
    "mill jobs watch": "cancelled",
    "mill models card": "has no card",
    "mill batch cancel": "has succeeded",
    "mill feedback": "no request 'req-0b8f' of this tenant",
}
"""What the gateway's faked peers have not made; the command came to them."""
EMPTY = {
    "mill data list",
    "mill jobs checkpoints",
    "mill webhooks deliveries",
    "mill moderation versions",
    "mill requests list",
}
"""Lists in which the tenant has nothing."""


def test_every_command_speaks_json_but_those_with_a_reason():
    silent = {
        name
        for name, command in LEAVES.items()
        if not any(isinstance(it, TyperOption) and "--json" in it.opts for it in command.params)
    }
    assert silent == {*WITHOUT_JSON}
    tried = {*LISTS, *DOCUMENTS}
    assert {*LEAVES} == tried | {*WITHOUT_JSON, *OF_AN_INSTANCE, *OF_OPERATORS, *OF_TEACHERS}


NEW: dict[str, Callable[[Modelmill, dict[str, str]], str]] = {
    "new_file": lambda client, _: client.files.upload(b"{}\n")["id"],
    "new_job": lambda client, ids: _ordered(client, ids),
    "new_dataset": lambda client, ids: client.datasets.create(
        file_id=ids["files"], mapping={"layout": "openai_chat"}
    )["id"],
    "cancelled_job": lambda client, ids: client.jobs.cancel(_ordered(client, ids))["id"],
    "paused_job": lambda client, ids: client.jobs.pause(_ordered(client, ids))["id"],
    "new_alias": lambda client, _: client.aliases.set("away", version_id="mv-own")["name"],
    "compared_alias": lambda client, _: _compared(client),
    "new_experiment": lambda client, _: client.experiments.create(
        alias=_compared(client), candidates=["mv-own"], primary="completion"
    )["id"],
    "logged_request": lambda client, _: logged_request(client, "hello"),
    "new_webhook": lambda client, _: client.webhooks.create(url="http://127.0.0.1:9/x")["id"],
    "new_key": lambda client, _: client.keys.create(name="away")["id"],
}
"""Things that a command takes away, made for it."""
REQUEST = {
    **{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"},
    "body": {"model": "mv-own", "messages": [{"role": "user", "content": "hi"}]},
}
POLICY = """rules:
- {id: a, category: illicit, severity: low, action: flag, directions: both, keywords: [abc]}
"""
RECIPE = """name: kinds
base: mv-own-base
data:
  files: rows.jsonl
  mapping: {layout: openai_chat}
"""


def _ordered(client: Modelmill, ids: dict[str, str]) -> str:
    job = client.fine_tuning.jobs.create(model="mv-own-base", training_file=ids["datasets"])
    return job["id"]


def _compared(client: Modelmill) -> str:
    """An alias without an experiment."""
    return client.aliases.set(f"compared-{uuid4().hex}", version_id="mv-own")["name"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Estate]]:
    with furnished_house(tmp_path_factory.mktemp("house")) as found:
        yield found


@pytest.fixture
def run(
    site: tuple[House, Estate], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., int]]:
    """Runs a command about things of the tenant, in a folder with files of it; its status."""
    house, estate = site
    asks(house, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": "hi"}]}\n')
    (tmp_path / "requests.jsonl").write_text(json.dumps(REQUEST))
    (tmp_path / "passages.txt").write_text("A passage that is long enough to be asked about.")
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    LocalKeys(tmp_path / "own-keys").create()
    ids = {path.strip("/").split("/")[-1]: it for path, it in estate.ids.items()}

    with Modelmill() as client:

        def place(word: str) -> str:
            name = word.strip("{}")
            if name == word:
                return word
            return NEW[name](client, ids) if name in NEW else ids[name]

        yield lambda name, words, *more: run_app(
            [*name.split()[1:], *map(place, words.split()), *more]
        )


@pytest.mark.parametrize("name", [*LISTS, *DOCUMENTS])
def test_with_json_a_list_is_an_object_a_line_and_anything_else_one_document(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    status = run(name, LISTS.get(name) or DOCUMENTS.get(name, ""), "--json")
    out, err = capsys.readouterr()

    if status and name in REFUSED:
        assert REFUSED[name] in err
        return
    assert status == 0, err
    if name in LISTS:
        assert name in EMPTY or out
        assert all(isinstance(json.loads(line), dict) for line in out.splitlines())
    else:
        assert isinstance(json.loads(out), dict)


@pytest.mark.parametrize("name", [*LISTS, *DOCUMENTS])
def test_without_it_people_read_lines_in_which_nothing_is_drawn(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    status = run(name, LISTS.get(name) or DOCUMENTS.get(name, ""))
    out, err = capsys.readouterr()

    assert name in REFUSED or status == 0, err
    assert not {*out} & {*"\x1b\r│┃┏━"}
    assert not out.startswith("{")
