"""Evaluations over HTTP and gRPC: created by any model name, listed, controlled and read."""

from typing import Any

import grpc
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused
from gateway_support.house import BASE, TUNED, House
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.trainer.v1.evaluation_pb2 import (
    EvaluationAnswer,
    EvaluationRow,
    EvaluationRowFilter,
    EvaluationSpec,
)
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/evaluations"
Status = grpc.StatusCode


@pytest.mark.parametrize(
    ("model", "asked"),
    [("default", "default"), (TUNED, TUNED), ("tiny", BASE), (BASE, BASE)],
)
async def test_a_model_means_what_it_means_in_a_chat(house: House, model: str, asked: str):
    body = {"model": model, "compare_to": model, "dataset_id": "ds-x"}
    accepted = await house.http(tenant="measured").post(PATH, json=body)

    assert accepted.status_code == 202
    shown = accepted.json()
    assert (shown["object"], shown["kind"], shown["status"]) == ("evaluation", "evaluate", "queued")
    assert (shown["model"], shown["compare_to"], shown["dataset_id"]) == (asked, asked, "ds-x")
    assert house.trainer.evaluations[-1].model == asked


async def test_everything_that_can_be_said_reaches_the_trainer(house: House):
    body: dict[str, Any] = {
        "model": "default",
        "dataset_id": "ds-x",
        "split": "valid",
        "tasks": [{"config": "task: a", "data_file_ids": ["file-1"]}],
        "measures": ["accuracy"],
        "slices": [{"by": "length", "edges": [10, 20]}, {"by": "topic"}],
        "protections": [
            {"measure": "accuracy", "slice_by": "topic", "slice_value": "law", "worst": 0.0},
            {"measure": "accuracy", "largest_loss": 0.1, "suite": "dataset"},
        ],
        "max_rows": 5,
        "max_new_tokens": 6,
        "seed": 7,
        "resamples": 8,
    }
    accepted = await house.http().post(PATH, json=body)

    assert accepted.status_code == 202
    spec = house.trainer.evaluations[-1]
    assert (spec.split, spec.measures) == ("valid", ["accuracy"])
    assert (spec.max_rows, spec.max_new_tokens, spec.seed, spec.resamples) == (5, 6, 7, 8)
    assert [(each.by, list(each.edges)) for each in spec.slices] == [
        ("length", [10, 20]),
        ("topic", []),
    ]
    first, second = spec.protections
    # 0 is a bound like any other, and no bound is none.
    assert (first.HasField("worst"), first.HasField("largest_loss")) == (True, False)
    assert (second.HasField("worst"), second.largest_loss) == (False, 0.1)
    assert [task.data_file_ids for task in spec.tasks] == [["file-1"]]


async def test_evaluations_are_shown_repeated_by_key_and_cancelled(house: House):
    client = house.http(tenant="shown")
    order = {"model": "default", "dataset_id": "ds-x"}
    key = {"idempotency-key": "measure-1"}
    first = (await client.post(PATH, json=order, headers=key)).json()
    again = (await client.post(PATH, json=order, headers=key)).json()
    listed = (await client.get(PATH)).json()["data"]

    assert first["id"] == again["id"]
    assert [each["id"] for each in listed] == [first["id"]]
    assert (await client.post(f"{PATH}/{first['id']}/cancel")).status_code == 200

    async def cancelled() -> bool:
        return (await client.get(f"{PATH}/{first['id']}")).json()["status"] == "cancelled"

    await eventually(cancelled)


@pytest.mark.parametrize(
    ("order", "status", "named"),
    [
        ({"model": "nobody", "dataset_id": "ds-x"}, 404, "nobody"),
        ({"model": "default", "compare_to": "none", "dataset_id": "ds-x"}, 404, "none"),
        ({"model": "default", "measures": ["vibes"]}, 422, "vibes"),
        ({"dataset_id": "ds-x"}, 422, "model"),
        ({"model": "default", "dataset_id": "ds-x", "odd": 1}, 422, "odd"),
    ],
)
async def test_an_evaluation_that_cannot_be_made_is_refused_by_name(
    house: House, order: dict[str, object], status: int, named: str
):
    answer = await house.http().post(PATH, json=order)

    assert answer.status_code == status
    assert named in answer.json()["error"]["message"]


async def test_without_an_inference_service_the_refusal_says_so(house: House):
    house.trainer.can_ask = False
    try:
        body = {"model": "default", "dataset_id": "ds-x"}
        answer = await house.http().post(PATH, json=body)
    finally:
        house.trainer.can_ask = True

    assert answer.status_code == 409
    assert "no inference service" in answer.json()["error"]["message"]


async def test_what_was_found_is_read_in_three_forms_and_by_nobody_else(house: House):
    client = house.http(tenant="reader")
    order = {"model": "default", "dataset_id": "ds-x"}
    job_id = (await client.post(PATH, json=order)).json()["id"]
    report = f"{PATH}/{job_id}/report"
    assert (await client.get(report)).status_code == 404
    house.trainer.found[job_id] = b"{}"

    for name, media_type in (
        ("rows", "application/jsonl"),
        ("html", "text/html; charset=utf-8"),
    ):
        answer = await client.get(report, params={"format": name})
        assert answer.text == f"{name} {{}}"
        assert answer.headers["content-type"] == media_type
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (await client.get(report, params={"format": "pdf"})).status_code == 400
    assert (await house.http(tenant="stranger").get(report)).status_code == 404


def answer(text: str, *, right: bool) -> EvaluationAnswer:
    return EvaluationAnswer(answer=text, scores={"accuracy": float(right)}, is_right=right)


async def evaluated(house: House, tenant: str, rows: int) -> str:
    """An evaluation with so many rows; its id."""
    order = {"model": "default", "dataset_id": "ds-x"}
    job_id = str((await house.http(tenant=tenant).post(PATH, json=order)).json()["id"])
    house.trainer.rows[job_id] = [
        EvaluationRow(
            line=line,
            suite="dataset",
            row=str(line),
            prompt_sha256="9f",
            reference="plant",
            slices={"length": "0-200"},
            model=answer("plant", right=True),
            **({"compare_to": answer("stone", right=False)} if line > 1 else {}),
        )
        for line in range(1, rows + 1)
    ]
    return job_id


async def test_rows_come_in_pages_and_whose_they_are_matters(house: House):
    job_id = await evaluated(house, "rows", 3)
    client, path = house.http(tenant="rows"), f"{PATH}/{job_id}/rows"

    first = (await client.get(path, params={"limit": 2})).json()
    rest = (await client.get(path, params={"after": first["last_id"]})).json()

    assert ([row["id"] for row in first["data"]], first["has_more"]) == (["row-1", "row-2"], True)
    assert ([row["id"] for row in rest["data"]], rest["has_more"]) == (["row-3"], False)
    alone, compared = first["data"]
    assert (alone["compare_to"], alone["prompt"]) == (None, None)
    assert alone["slices"] == {"length": "0-200"}
    assert compared["model"] == {
        **{"answer": "plant", "chosen": None, "log_likelihood": None, "tokens": None},
        **{"choice_scores": None, "scores": {"accuracy": 1.0}, "is_right": True},
    }
    assert compared["compare_to"]["is_right"] is False
    assert (await house.http(tenant="stranger").get(path)).status_code == 404


async def test_filters_of_rows_reach_the_trainer(house: House):
    job_id = await evaluated(house, "filters", 1)
    wanted = {"suite": "a", "text": "Oak", "slice_by": "length", "slice_value": "0-200"}
    query = {**wanted, "wrong": "true", "differs": "true", "limit": "5", "after": "row-7"}

    answered = await house.http(tenant="filters").get(f"{PATH}/{job_id}/rows", params=query)

    assert answered.json()["data"] == []
    asked = house.trainer.rows_asked[-1]
    assert (asked.tenant, asked.job_id, asked.after, asked.limit) == ("filters", job_id, 7, 5)
    assert asked.filter == EvaluationRowFilter(**wanted, wrong=True, differs=True)


@pytest.mark.parametrize("query", ["after=7", "limit=101", "wrong=perhaps", f"text={'x' * 1001}"])
async def test_rows_that_cannot_be_asked_for_are_refused_with_the_parameter(
    house: House, query: str
):
    job_id = await evaluated(house, "refused", 1)

    answered = await house.http(tenant="refused").get(f"{PATH}/{job_id}/rows?{query}")

    assert answered.status_code == 400
    assert answered.json()["error"]["param"] == query.partition("=")[0]


async def test_rows_over_grpc_are_those_over_http(house: House):
    job_id = await evaluated(house, "rows-rpc", 3)
    async with grpc_stub(house, tenant="rows-rpc") as stub:
        wanted = pb.ListEvaluationRowsRequest(job_id=job_id, after=1, limit=1)
        page = await stub.ListEvaluationRows(wanted, timeout=CALL_SECONDS)
        async with refused(Status.INVALID_ARGUMENT):
            wanted = pb.ListEvaluationRowsRequest(job_id=job_id, limit=101)
            await stub.ListEvaluationRows(wanted, timeout=CALL_SECONDS)
        async with refused(Status.NOT_FOUND):
            wanted = pb.ListEvaluationRowsRequest(job_id="job-nobody")
            await stub.ListEvaluationRows(wanted, timeout=CALL_SECONDS)

    assert ([row.line for row in page.rows], page.has_more) == ([2], True)


async def test_over_grpc_it_is_the_same(house: House):
    async with grpc_stub(house, tenant="rpc") as stub:
        spec = EvaluationSpec(model="tiny", dataset_id="ds-x")
        request = pb.CreateEvaluationRequest(spec=spec, idempotency_key="k")
        job = (await stub.CreateEvaluation(request, timeout=CALL_SECONDS)).job
        again = (await stub.CreateEvaluation(request, timeout=CALL_SECONDS)).job
        house.trainer.found[job.id] = b"{}"
        reading = pb.DownloadEvaluationRequest(job_id=job.id)
        parts = [
            part.chunk async for part in stub.DownloadEvaluation(reading, timeout=CALL_SECONDS)
        ]
        async with refused(Status.NOT_FOUND):
            unknown = pb.DownloadEvaluationRequest(job_id="job-nobody")
            async for _ in stub.DownloadEvaluation(unknown, timeout=CALL_SECONDS):
                pass
        async with refused(Status.INVALID_ARGUMENT):
            await stub.CreateEvaluation(pb.CreateEvaluationRequest(), timeout=CALL_SECONDS)

    assert (job.kind, job.spec["model"]) == ("evaluate", BASE)
    assert again.id == job.id
    assert b"".join(parts) == b"json {}"
