"""Edge bundles in an environment of their runtime alone, beside the inference service itself."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_cli.edge_bundle import write_bundle
from modelmill_evaluation.parity.goldens import Golden, Goldens, KeptLogits
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import PreconditionError
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.models import kept_tiny_onnx, kept_tiny_openvino, make_tiny_llama
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.runtime_environment import environment_of, without_checkout
from modelmill_testkit.service_process import SECRET, running_service, service_settings
from modelmill_testkit.waiting import eventually
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

pytestmark = pytest.mark.heavy

QUESTION = "what kind of thing is a 价格?"
TOKENS = 24
RUNTIMES = {"onnx-int8": "onnxruntime-genai", "openvino-int8": "openvino-genai"}
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
TOLD = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
print(sorted({"torch", "transformers", "tokenizers", "jinja2"} & sys.modules.keys()))
"""


@dataclass
class Served:
    """A bundle, and what the service says with the same build."""

    folder: Path
    python: Path
    text: str


@pytest.fixture(scope="module", params=RUNTIMES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    form, root = request.param, tmp_path_factory.mktemp("bundle")
    digest = (
        FolderStore(root / "artifacts")
        .commit(
            build_of(form, root, request.config.rootpath),
            kind="model",
            form=form,
            attributes={"context_tokens": 512},
        )
        .digest
    )
    model = {"id": "mv-edge", "name": "kinds", "form": form, "digest": digest}
    bundle = write_bundle(FolderStore(root / "artifacts"), model, root / "kinds")
    assert bundle.read_otherwise == []
    python = environment_of(root / "venv", RUNTIMES[form])
    text = asyncio.run(answer_of_the_service(root, model))
    return Served(root / "kinds", python, text)


def build_of(form: str, root: Path, checkout: Path) -> Path:
    """As optimizer-builder leaves one: the tokenizer of training, and goldens."""
    base, folder = make_tiny_llama(root / "base"), root / "build"
    kept = {"onnx-int8": kept_onnx, "openvino-int8": kept_tiny_openvino}
    shutil.copytree(kept[form](checkout, base), folder)
    for name in TOKENIZER:
        shutil.copyfile(base / name, folder / name)
    write_goldens(folder, "the offspring who came first, 价格 12")
    return folder


def kept_onnx(checkout: Path, base: Path) -> Path:
    return kept_tiny_onnx(checkout, base, precision="int8")


def write_goldens(folder: Path, *contents: str, shift: int = 0) -> None:
    tokenizer = ChatTokenizer.load(folder)
    goldens = []
    for content in contents:
        turns: list[Any] = [{"role": "user", "content": content}]
        ids = tuple(token + shift for token in tokenizer.encode_prompt(turns))
        logits = KeptLogits.of(np.zeros((1, 4), np.float32))
        goldens.append(Golden(content, tuple(turns), (), "", ids, (1,), logits))
    Goldens(tuple(goldens), "float32", "", "", {}).write(folder)


async def answer_of_the_service(root: Path, model: dict[str, Any]) -> str:
    """Greedy, by the engine that serves the form."""
    async with (
        run_nats(root / "nats") as nats,
        Bus.connect(nats.url, nats.token, name="test") as bus,
        running_service("inference", service_settings(nats, root)) as service,
        open_channel(service.address, SECRET) as channel,
    ):
        ready = ModelReady(
            version_id=model["id"],
            tenant="acme",
            form=model["form"],
            digest=model["digest"],
            context_tokens=512,
        )
        await bus.publish(MODEL_READY, ready)
        stub: Any = pb_grpc.InferenceServiceStub(channel)
        request = pb.GenerateRequest(
            tenant="acme",
            model=model["id"],
            conversation=pb.Conversation(messages=[ChatMessage(role="user", content=QUESTION)]),
            options=pb.SamplingOptions(max_new_tokens=TOKENS),
        )

        async def answered() -> str | None:
            try:
                pieces = [piece async for piece in stub.Generate(request, timeout=60)]
            except Exception:  # not known yet, or still loading
                return None
            return "".join(piece.text_delta for piece in pieces)

        text = await eventually(answered, within=120)
    assert text
    return text


@contextmanager
def serving(bundle: Served) -> Iterator[httpx.Client]:
    command = [bundle.python, bundle.folder / "run.py", "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=without_checkout()
    ) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            with httpx.Client(base_url=url, timeout=60) as client:
                yield client
        finally:
            process.terminate()


def test_a_bundle_answers_as_the_service_without_torch_and_transformers(
    served: Served,
) -> None:
    command = [str(served.python), "-c", TOLD, str(served.folder / "run.py"), QUESTION]
    done = subprocess.run(
        [*command, "--max-tokens", str(TOKENS)],
        capture_output=True,
        text=True,
        env=without_checkout(),
        timeout=120,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == f"{served.text}\n[]\n"


def test_a_bundle_serves_the_same_answer_whole_and_as_a_stream(served: Served) -> None:
    asked = {
        "model": "kinds",
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": TOKENS,
        "temperature": 0,
    }
    with serving(served) as client:
        listed = client.get("models").json()["data"]
        whole = client.post("chat/completions", json=asked).json()
        with client.stream("POST", "chat/completions", json=asked | {"stream": True}) as events:
            lines = [line.removeprefix("data: ") for line in events.iter_lines() if line]

    assert [each["id"] for each in listed] == ["kinds"]
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": served.text}
    assert whole["usage"]["completion_tokens"] <= TOKENS
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line)["choices"][0] for line in lines]
    assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == served.text
    assert chunks[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]


def test_a_request_that_a_bundle_cannot_answer_is_refused_as_openai_refuses(
    served: Served,
) -> None:
    turns = [{"role": "user", "content": QUESTION}]
    long = [{"role": "user", "content": QUESTION * 200}]
    refused: list[tuple[dict[str, Any], int, str]] = [
        ({"messages": turns, "model": "other"}, 404, "no such model"),
        ({"messages": turns, "tools": [{}]}, 400, "tools is not supported"),
        ({"messages": turns, "n": 2}, 400, "n is not supported"),
        ({"messages": []}, 400, "role and content"),
        ({"messages": turns, "temperature": True}, 400, "temperature must be"),
        ({"messages": turns, "stop": ["", "x"]}, 400, "stop must be"),
        ({"messages": long}, 400, "too long"),
    ]
    with serving(served) as client:
        for body, status, said in refused:
            answer = client.post("chat/completions", json=body)
            assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True)
        large = status_of_a_body_of(client, 1 << 30)
        form = client.post("chat/completions", content="{}", headers={"Content-Type": "text/plain"})
        again = client.post("chat/completions", json={"messages": turns, "max_tokens": 1})

    assert (large, form.status_code, again.status_code) == (413, 415, 200)


def status_of_a_body_of(client: httpx.Client, size: int) -> int:
    """What is answered once so large a body is announced."""
    with closing(HTTPConnection(client.base_url.host, client.base_url.port or 80)) as connection:
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        return connection.getresponse().status


def test_the_benchmark_measures_the_runtime(served: Served) -> None:
    command = [served.python, served.folder / "bench.py", "--rounds", "2"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=without_checkout(), timeout=120
    )

    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["tokens_per_s"] > 0
    assert (found["prompts"], found["read_otherwise"], found["modules"]) == (1, [], [])


def test_a_bundle_whose_runtime_reads_prompts_otherwise_is_refused(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    base = make_tiny_llama(tmp_path / "base")
    folder = tmp_path / "build"
    shutil.copytree(kept_onnx(pytestconfig.rootpath, base), folder)
    for name in TOKENIZER:
        shutil.copyfile(base / name, folder / name)
    write_goldens(folder, QUESTION, shift=1)
    store = FolderStore(tmp_path / "artifacts")
    digest = store.commit(
        folder, kind="model", form="onnx-int8", attributes={"context_tokens": 512}
    ).digest
    model = {"id": "mv-edge", "form": "onnx-int8", "digest": digest}

    with pytest.raises(PreconditionError, match="reads prompts otherwise"):
        write_bundle(store, model, tmp_path / "bundle")

    assert [path.name for path in tmp_path.iterdir() if "bundle" in path.name] == []
