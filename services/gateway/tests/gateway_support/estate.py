"""What one tenant has, found by the paths of the route table: for callers who must not reach it.

Kinds of things that the table learns later are made by their own POST, with the document's example.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
from modelmill_gateway.domain.routes import ROUTES, Route
from modelmill_gateway.entrypoints.schemas.feedback import RULES
from modelmill_gateway.entrypoints.schemas.webhooks import ENDPOINT

from gateway_support.document import body_example
from gateway_support.house import House

OWNER = "owner"
MODEL, VERSION, BASE = "wordnet", "mv-5d1c0e", "mv-0a77f2"
ALIAS, EXAMPLE_FILE, DATASET = "helpdesk", "file-91c3d8", "ds-7be014"
"""Ids in the document's examples."""
FILE = b'{"messages": [{"role": "user", "content": "of the owner"}]}\n'
PLACE = re.compile(r"\{(\w+)\}")
REQUESTS = (
    b'{"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": '
    b'{"model": "mv-own", "messages": [{"role": "user", "content": "of the owner"}]}}\n'
)
HOOK = "http://127.0.0.1:9/hook"
NOBODY = "nobody"
UNREAD = ("issue_key", "create_eval")
"""Routes whose bodies name things that are not looked up."""
FIXED = {"{line}": "1", "{step}": "1"}
"""Places of a path that name no object."""


@dataclass
class Estate:
    """Ids by where they stand in paths, for example `/v1/files/`."""

    ids: dict[str, str] = field(default_factory=dict)
    of_examples: dict[str, str] = field(default_factory=dict)
    """What stands for the ids in the document's examples."""
    of_routes: dict[str, dict[str, str]] = field(default_factory=dict)
    """The same where a route wants another."""
    unmade: list[str] = field(default_factory=list)
    """Why things of a kind could not be made."""

    def path(self, route: Route) -> str:
        """The route's path to something that the owner has."""
        path = route.path.replace("{other_dataset_id}", self.ids.get("/v1/datasets/", NOBODY))
        while found := PLACE.search(path):
            before = path[: found.start()]
            given = FIXED.get(found[0]) or self.ids[before]
            path = f"{before}{given}{path[found.end() :]}"
        return path

    def body(self, route: Route) -> dict[str, Any] | None:
        """The document's example, about things that the owner has."""
        example = body_example(route.name)
        if example is None:
            return None
        text = json.dumps(example)
        own_ids = self.of_examples | self.of_routes.get(route.name, {})
        own_ids = own_ids if route.name not in UNREAD else {}
        for shown, own in {**own_ids, ENDPOINT: HOOK}.items():
            text = text.replace(f'"{shown}"', f'"{own}"')
        made: dict[str, Any] = json.loads(text)
        return made

    def mentioned(self, text: str) -> list[str]:
        """Which of the owner's ids stand in a text."""
        known = {*self.ids.values(), *self.of_examples.values()} - {NOBODY}
        return [each for each in known if re.search(rf"\b{re.escape(each)}\b", text)]


def names_an_object(route: Route) -> bool:
    """Whether its path leads to something that somebody has."""
    return any(
        place not in FIXED for place in (f"{{{name}}}" for name in PLACE.findall(route.path))
    )


async def furnished(house: House, owner: httpx.AsyncClient) -> Estate:
    """Something of every kind that a path can name."""
    await house.say_model("mv-own", tenant=OWNER, name="own", form="openvino-int8")
    await house.say_model("mv-own-base", tenant=OWNER, name="own-base", form="safetensors")
    await house.say_alias(OWNER, "private", "mv-own")
    file = await _uploaded(owner, "fine-tune", FILE)
    batch = await _uploaded(owner, "batch", REQUESTS)
    estate = Estate(
        ids={
            **{"/v1/models/": "mv-own", "/v1/aliases/": "private", "/v1/files/": file},
            "/v1/tenants/": NOBODY,
        },
        of_examples={
            **{MODEL: "mv-own", VERSION: "mv-own", BASE: "mv-own-base", EXAMPLE_FILE: file},
            **{"smollm2-135m": "mv-own-base", "kinds": "mv-own-base"},
        },
    )
    estate.of_routes["create_batch"] = {EXAMPLE_FILE: batch}
    estate.of_routes["create_experiment"] = {ALIAS: "private"}
    # Of the policy that the house has in force.
    estate.of_routes["record_feedback"] = {RULES[0]: "note-locks"}
    evals = await _uploaded(owner, "evals", b'{"item": {"text": "of the owner"}}\n')
    estate.of_routes["create_eval_run"] = {EXAMPLE_FILE: evals}
    making = await _made(owner, estate, "create_dataset")
    estate.ids |= {"/v1/datasets/": making["id"], "/v1/jobs/": making["job_id"]}
    estate.of_examples[DATASET] = making["id"]
    for route in ROUTES:
        if names_an_object(route):
            await _own_one(owner, estate, route)
    return estate


async def _own_one(owner: httpx.AsyncClient, estate: Estate, route: Route) -> None:
    """Make what unknown places of the path name, by the POSTs on the paths before them."""
    template = path = route.path.replace("{other_dataset_id}", estate.ids["/v1/datasets/"])
    while found := PLACE.search(path):
        before, above = path[: found.start()], template[: template.index(found[0])]
        if found[0] not in FIXED and before not in estate.ids:
            estate.ids[before] = await _id_of_one(owner, estate, above)
        given = FIXED.get(found[0]) or estate.ids[before]
        path = f"{before}{given}{path[found.end() :]}"


async def _id_of_one(owner: httpx.AsyncClient, estate: Estate, above: str) -> str:
    posts = [each for each in ROUTES if (each.method, f"{each.path}/") == ("POST", above)]
    if not posts:
        # It comes to be by work that nobody does here.
        return NOBODY
    try:
        return str((await _made(owner, estate, posts[0].name))["id"])
    except AssertionError as error:
        estate.unmade.append(str(error))
        return NOBODY


async def _uploaded(owner: httpx.AsyncClient, purpose: str, content: bytes) -> str:
    upload = {"file": ("a.jsonl", content)}
    answer = await owner.post("/v1/files", files=upload, data={"purpose": purpose})
    return str(answer.json()["id"])


async def _made(owner: httpx.AsyncClient, estate: Estate, name: str) -> dict[str, Any]:
    route = next(each for each in ROUTES if each.name == name)
    answer = await owner.post(estate.path(route), json=estate.body(route))
    assert answer.is_success, f"{name}: {answer.text}"
    made: dict[str, Any] = answer.json()
    return made
