"""The tenant's own policy and feedback over gRPC, by the rules of HTTP."""

from typing import Any

import grpc
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused
from gateway_support.house import House
from gateway_support.policies import ALONE
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_events_pb2 import FEEDBACK_REPORT_MISSED, FeedbackRecorded
from modelmill.moderation.v1.moderation_service_pb2 import PolicyDocument
from modelmill_bus.subjects import feedback_recorded

pytestmark = pytest.mark.asyncio(loop_scope="module")

Status = grpc.StatusCode
DOCUMENT = PolicyDocument(name="a.yaml", text="rules: []")
ALONE_DOCUMENT = PolicyDocument(name="a.yaml", text="alone")


async def test_a_policy_is_put_in_force_shown_listed_and_brought_back(house: House):
    async with grpc_stub(house) as stub:
        put = pb.PutPolicyRequest(documents=[DOCUMENT])
        dry = pb.PutPolicyRequest(documents=[DOCUMENT], dry_run=True)
        first = await stub.PutPolicy(put, timeout=CALL_SECONDS)
        second = await stub.PutPolicy(dry, timeout=CALL_SECONDS)
        shown = await stub.GetPolicy(pb.GetPolicyRequest(), timeout=CALL_SECONDS)
        back = await stub.RevertPolicy(pb.RevertPolicyRequest(version=1), timeout=CALL_SECONDS)
        shared = await stub.RevertPolicy(pb.RevertPolicyRequest(shared=True), timeout=CALL_SECONDS)
        listed = await stub.ListPolicyVersions(pb.ListPolicyVersionsRequest(), timeout=CALL_SECONDS)

    assert (first.policy.version, first.written, second.written) == (1, True, False)
    assert list(first.changes.added_rules) == ["x"]
    assert {(each.tenant, each.changed_by) for each in house.moderation.puts} == {("acme", "ada")}
    assert (shown.policy.tenant, list(shown.documents)) == ("acme", [DOCUMENT])
    assert (back.policy.restores_version, shared.policy.follows_shared) == (1, True)
    assert [each.version for each in listed.policies] == [3, 2, 1]


@pytest.mark.parametrize(
    ("procedure", "request_", "status", "said"),
    [
        ("PutPolicy", pb.PutPolicyRequest(), Status.INVALID_ARGUMENT, "documents"),
        (
            *("PutPolicy", pb.PutPolicyRequest(documents=[DOCUMENT, DOCUMENT])),
            *(Status.INVALID_ARGUMENT, "the same name"),
        ),
        (
            "PutPolicy",
            pb.PutPolicyRequest(documents=[DOCUMENT], expected_digest="sha256:other"),
            *(Status.ABORTED, "in force"),
        ),
        (
            "PutPolicy",
            pb.PutPolicyRequest(documents=[ALONE_DOCUMENT], remove_default_rules=["iban"]),
            *(Status.FAILED_PRECONDITION, "email-address"),
        ),
        (
            *("RevertPolicy", pb.RevertPolicyRequest(version=ALONE)),
            *(Status.FAILED_PRECONDITION, "email-address, iban"),
        ),
        ("GetPolicy", pb.GetPolicyRequest(version=9), Status.NOT_FOUND, "no version 9"),
        ("RevertPolicy", pb.RevertPolicyRequest(), Status.INVALID_ARGUMENT, "needs a version"),
        (
            *("RevertPolicy", pb.RevertPolicyRequest(shared=False)),
            *(Status.INVALID_ARGUMENT, "needs a version"),
        ),
    ],
)
async def test_what_cannot_be_is_refused(
    house: House, procedure: str, request_: Any, status: grpc.StatusCode, said: str
):
    async with grpc_stub(house) as stub, refused(status, said):
        await getattr(stub, procedure)(request_, timeout=CALL_SECONDS)


async def test_a_persons_word_is_kept_once_for_a_key(house: House):
    said = pb.RecordFeedbackRequest(
        report="missed", text="bad", direction="output", rules=["no-eating"], idempotency_key="once"
    )
    async with grpc_stub(house, tenant="sayers") as stub:
        first = await stub.RecordFeedback(said, timeout=CALL_SECONDS)
        again = await stub.RecordFeedback(said, timeout=CALL_SECONDS)
    stored = await house.bus.last(feedback_recorded("sayers"), FeedbackRecorded)

    assert first.feedback_id == again.feedback_id
    assert first.created_at.seconds > 0
    assert stored is not None
    assert (stored.body.report, stored.body.text) == (FEEDBACK_REPORT_MISSED, "bad")
    assert (stored.body.caller, stored.body.HasField("score")) == ("ada", False)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"score": 0.5},
        {"correction": "right"},
        {"score": 2, "request_id": "req-1"},
        {"report": "boring", "text": "x"},
        {"comment": "x", "rules": ["r"]},
    ],
)
async def test_a_word_that_says_nothing_or_of_nothing_is_refused(
    house: House, fields: dict[str, Any]
):
    async with grpc_stub(house) as stub, refused(Status.INVALID_ARGUMENT):
        await stub.RecordFeedback(pb.RecordFeedbackRequest(**fields), timeout=CALL_SECONDS)
