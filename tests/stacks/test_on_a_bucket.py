"""The loop with its artifacts in a bucket, whose server goes away in the middle of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from modelmill_cli.stack import StackOptions
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually
from moto.server import ThreadedMotoServer

from tests.e2e.conftest import HYPER_PARAMETERS, running_loop, write_rows

pytestmark = [pytest.mark.timeout(240)]


class S3Server:
    """Forgets nothing while it is away: what it holds is in this process."""

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    server = S3Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket="models")
    yield server
    server.stop()


def names_in_the_bucket() -> list[str]:
    listed = boto3.client("s3").list_objects_v2(Bucket="models", Prefix="acme/")
    return [found["Key"] for found in listed.get("Contents", ())]


async def test_a_model_is_trained_in_a_bucket_over_an_outage_of_its_server_and_answers(
    s3: S3Server, tmp_path: Path
):
    options = StackOptions(http_port=free_port(), artifacts="s3://models/acme")
    async with running_loop(tmp_path, options) as loop:
        dataset_id = await loop.make_dataset(write_rows(tmp_path / "kinds.jsonl", 60))
        s3.stop()
        created = await loop.openai.fine_tuning.jobs.create(
            model=loop.base_version_id,
            training_file=dataset_id,
            extra_body={"hyperparameters": HYPER_PARAMETERS},
        )

        async def says_what_it_waits_for() -> bool:
            job = await asyncio.to_thread(loop.client.jobs.retrieve, created.id)
            return bool(job["error"]) and job["error"]["code"] == "UNAVAILABLE"

        await eventually(says_what_it_waits_for, within=60)
        s3.start()
        job = await loop.job_ends(created.id, within=120)
        assert (job["status"], job["failures"], job["error"]) == ("succeeded", 0, None), job

        build = await loop.build_of(job["result"]["version_id"])
        answer = await loop.openai.chat.completions.create(
            model=build["result"]["version_id"],
            messages=[{"role": "user", "content": "thing 1: something that grows"}],
            max_tokens=4,
        )
        assert answer.choices[0].message.content is not None
        assert not list(loop.state.artifacts.rglob("*.*"))
    assert any(name.startswith("acme/manifests/") for name in names_in_the_bucket())
