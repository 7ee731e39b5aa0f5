"""A tenant's policy from the terminal to the verdict: gateway, moderation and broker for real."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from modelmill_cli.keys import ALL_SCOPES, AUDIENCE, ISSUER, LocalKeys
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import ServiceProcess, running_service, service_settings

from tests.bad_input.mill import mill

pytestmark = pytest.mark.tier("journeys")

NOBODY = "127.0.0.1:9"
POLICY = """when_unavailable: rules_only
rules:
- {id: project, category: confidential, severity: high, action: block, directions: both,
   keywords: [blue heron]}
- {id: card, category: pii, severity: medium, action: mask, directions: both,
   detector: card-number}
"""
MANY = """rules:
- {{id: many, category: confidential, severity: high, action: block, directions: both,
   keywords: [{words}]}}
"""
"""Takes a while to build, in which the one before it would judge."""


@dataclass
class Stack:
    """The two services, and a caller's way to them."""

    moderation: ServiceProcess
    http: httpx.AsyncClient
    state: Path
    environment: dict[str, str]

    async def rules_of(self, text: str) -> list[str]:
        answer = await self.http.post("/v1/moderations", json={"input": text})
        assert answer.status_code == 200, answer.text
        return [rule["id"] for rule in answer.json()["results"][0]["rules"]]

    async def mill(self, *words: object) -> str:
        arguments = map(str, words)
        ended = await asyncio.to_thread(mill, self.state, *arguments, **self.environment)
        assert ended.status == 0, ended.err
        return ended.out


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Stack]:
    keys = LocalKeys(folder)
    keys.ensure()
    async with run_nats(folder / "nats") as nats:
        common = service_settings(nats, folder)
        async with running_service("moderation", common | {"grpc_address": "127.0.0.1:0"}) as judge:
            peers = ("inference", "data_prep", "trainer", "optimizer_builder")
            settings = common | {
                "http_address": "127.0.0.1:0",
                "jwks_path": str(keys.jwks_file),
                "jwt_issuer": ISSUER,
                "jwt_audience": AUDIENCE,
                "moderation_address": judge.address,
                **{f"{peer}_address": NOBODY for peer in peers},
            }
            async with running_service("gateway", settings) as gateway:
                url = f"http://127.0.0.1:{gateway.ports['http']}"
                token = keys.issue(
                    subject="ann", tenant="acme", scopes=ALL_SCOPES, life=timedelta(minutes=5)
                )
                headers = {"authorization": f"Bearer {token}"}
                async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
                    environment = {"MODELMILL_URL": url, "MODELMILL_TOKEN": token}
                    yield Stack(judge, http, folder / "state", environment)


async def test_a_policy_is_tried_applied_judged_by_and_taken_back(tmp_path: Path) -> None:
    policy, texts = tmp_path / "ours.yaml", tmp_path / "texts.jsonl"
    policy.write_text(POLICY)
    texts.write_text('{"text": "the blue heron", "label": "block"}\n{"text": "a heron"}\n')
    secret = "the BLUE\u200b heron pays by 4111 1111 1111 1111"
    async with running(tmp_path) as stack:
        assert await stack.rules_of(secret) == ["card-number"]
        dry = await stack.mill("moderation", "apply", policy, "--dry-run")
        assert "added rules: card, project" in dry
        assert await stack.rules_of(secret) == ["card-number"]

        assert "version 1 is in force" in await stack.mill("moderation", "apply", policy)
        assert await stack.rules_of(secret) == ["project"]
        assert await stack.rules_of("4111-1111-1111-1111") == ["card", "card-number"]
        assert POLICY.strip() in await stack.mill("moderation", "show")
        tried = await stack.mill("moderation", "test", texts, "--expect-all")
        assert "2 texts: 1 allow, 0 flag, 0 mask, 1 block" in tried

        await stack.mill("moderation", "revert", "--shared")
        assert await stack.rules_of(secret) == ["card-number"]
        await stack.mill("moderation", "revert", 1)
        assert await stack.rules_of(secret) == ["project"]
        listed = await stack.mill("moderation", "versions")
        assert "version 1 again" in listed
        assert "back to the shared policy" in listed

        # Its policy says that the rules may judge alone.
        assert await stack.moderation.stop() == 0
        assert await stack.rules_of(secret) == ["project"]


async def test_whoever_put_a_policy_is_judged_by_it(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        seen = []
        for number in range(10):
            text = MANY.format(words=", ".join(f"w{number}x{n}" for n in range(2000)))
            body = {"documents": [{"name": "many.yaml", "text": text}]}
            (await stack.http.put("/v1/moderation/policy", json=body)).raise_for_status()
            seen.append(await stack.rules_of(f"w{number}x7"))

    assert seen == [["many"]] * 10
