"""Modelmill over gRPC with nothing but grpcio and the generated contracts.

    python chat.py chat "what to ask" [--model NAME]
    python chat.py tune rows.jsonl [--model NAME] [--name NAME]

`chat` asks twice, for a whole answer and for a streamed one. `tune` uploads conversations (one
{"messages": [...]} a line), orders a fine-tuning job on them and watches it to its end.

MODELMILL_TOKEN     what `mill token` prints
MODELMILL_ADDRESS   host:port of the gateway's gRPC API, default 127.0.0.1:50051
MODELMILL_TLS_ROOT  PEM file of the authority behind the gateway's certificate; without it no TLS
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobStatus
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec

CALL_SECONDS = 120
WATCH_SECONDS = 24 * 3600
CHUNK_BYTES = 256 * 1024


class Gateway:
    """The stub, with the token on every call."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self._stub = GatewayServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),)

    def chat(self, question: str, model: str) -> pb.ChatResponse:
        """A whole answer."""
        request = pb.ChatRequest(call=_call(question, model))
        return self._stub.Chat(request, metadata=self._metadata, timeout=CALL_SECONDS)

    def stream_chat(self, question: str, model: str) -> Iterator[pb.StreamChatResponse]:
        """The same answer in pieces; the last one says how it ended."""
        request = pb.StreamChatRequest(call=_call(question, model))
        return self._stub.StreamChat(request, metadata=self._metadata, timeout=CALL_SECONDS)

    def upload(self, path: Path) -> str:
        """Store a file, piece by piece; gives its id."""
        parts = _parts(path)
        answer = self._stub.UploadFile(parts, metadata=self._metadata, timeout=WATCH_SECONDS)
        return answer.file.file_id

    def fine_tune(self, file_id: str, model: str, name: str) -> str:
        """Order a training run; gives the id of its job. Repeating it makes no second job."""
        spec = TrainSpec(base_version_id=model, dataset_id=file_id, name=name, evaluate=True)
        request = pb.CreateFineTuningJobRequest(spec=spec, idempotency_key=f"example:{file_id}")
        answer = self._stub.CreateFineTuningJob(
            request, metadata=self._metadata, timeout=CALL_SECONDS
        )
        return answer.job.id

    def watch(self, job_id: str) -> Iterator[pb.WatchJobResponse]:
        """What happens to a job, until it has ended."""
        request = pb.WatchJobRequest(job_id=job_id)
        return self._stub.WatchJob(request, metadata=self._metadata, timeout=WATCH_SECONDS)

    def job(self, job_id: str) -> pb.Job:
        """The job as it stands."""
        request = pb.GetJobRequest(job_id=job_id)
        return self._stub.GetJob(request, metadata=self._metadata, timeout=CALL_SECONDS).job


def _call(question: str, model: str) -> pb.ChatCall:
    return pb.ChatCall(model=model, messages=[ChatMessage(role="user", content=question)])


def _parts(path: Path) -> Iterator[pb.UploadFileRequest]:
    header = pb.FileHeader(filename=path.name, purpose="fine-tune")
    yield pb.UploadFileRequest(header=header)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield pb.UploadFileRequest(chunk=chunk)
    yield pb.UploadFileRequest(end=pb.FileEnd())


def chat(gateway: Gateway, question: str, model: str) -> int:
    """Ask twice."""
    whole = gateway.chat(question, model)
    print(f"{whole.text}\n({whole.end.finish_reason}, {whole.end.version_id})")
    for piece in gateway.stream_chat(question, model):
        print(piece.text_delta, end="", flush=True)
    print()
    return 0


def tune(gateway: Gateway, path: Path, model: str, name: str) -> int:
    """Upload, order, watch."""
    job_id = gateway.fine_tune(gateway.upload(path), model, name)
    print(f"job {job_id}", flush=True)
    for event in gateway.watch(job_id):
        print(f"{event.at.ToDatetime():%H:%M:%S} {event.message}", flush=True)
    job = gateway.job(job_id)
    if job.status != JOB_STATUS_SUCCEEDED:
        print(f"{JobStatus.Name(job.status)} {job.error.message}", file=sys.stderr)
        return 1
    print(f"made {job.result_id}")
    return 0


def open_channel() -> grpc.Channel:
    """A channel to the gateway, with TLS when a root is given."""
    address = os.environ.get("MODELMILL_ADDRESS", "127.0.0.1:50051")
    root = os.environ.get("MODELMILL_TLS_ROOT")
    if root is None:
        return grpc.insecure_channel(address)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(Path(root).read_bytes()))


def main() -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description="Modelmill over gRPC.")
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("chat")
    asking.add_argument("question")
    tuning = commands.add_parser("tune")
    tuning.add_argument("rows", type=Path)
    tuning.add_argument("--name", default="", help="of the new model")
    for command in (asking, tuning):
        command.add_argument("--model", default="default", help="alias, version id or name")
    given = parser.parse_args()
    token = os.environ.get("MODELMILL_TOKEN")
    if not token:
        parser.error("set MODELMILL_TOKEN, for example to what `mill token` prints")
    try:
        with open_channel() as channel:
            gateway = Gateway(channel, token)
            if given.command == "chat":
                return chat(gateway, given.question, given.model)
            return tune(gateway, given.rows, given.model, given.name)
    except grpc.RpcError as error:
        print(f"{error.code().name}: {error.details()}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
