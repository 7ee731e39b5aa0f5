"""The procedures of policies, as a caller has them."""

from typing import Any

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_service_kit.grpc_client import domain_errors
from modelmill_testkit.waiting import eventually


def policy_of(*words: str, action: str = "block") -> str:
    rules = [
        f"{{id: {word}, category: c, severity: low, action: {action}, directions: both,"
        f" keywords: [{word}]}}"
        for word in words
    ]
    return "# ours\nrules:\n- " + "\n- ".join(rules)


async def put(moderation: Any, *texts: str, tenant: str = "acme", **fields: Any) -> Any:
    documents = [pb.PolicyDocument(name=f"{n}.yaml", text=text) for n, text in enumerate(texts)]
    fields = {"tenant": tenant, "documents": documents, "changed_by": "ann"} | fields
    with domain_errors():
        return await moderation.stub.PutPolicy(pb.PutPolicyRequest(**fields), timeout=60)


async def get(moderation: Any, tenant: str = "acme", version: int = 0) -> Any:
    with domain_errors():
        request = pb.GetPolicyRequest(tenant=tenant, version=version)
        return await moderation.stub.GetPolicy(request, timeout=60)


async def revert(moderation: Any, tenant: str = "acme", **fields: Any) -> Any:
    with domain_errors():
        request = pb.RevertPolicyRequest(tenant=tenant, changed_by="bob", **fields)
        return await moderation.stub.RevertPolicy(request, timeout=60)


async def versions(moderation: Any, tenant: str = "acme", limit: int = 0) -> list[Any]:
    with domain_errors():
        request = pb.ListPolicyVersionsRequest(tenant=tenant, limit=limit)
        answer = await moderation.stub.ListPolicyVersions(request, timeout=60)
    return list(answer.policies)


async def judged_by(moderation: Any, digest: str, tenant: str = "acme") -> None:
    async def moved() -> bool:
        return bool((await moderation.check("x", tenant=tenant)).policy_digest == digest)

    await eventually(moved)
