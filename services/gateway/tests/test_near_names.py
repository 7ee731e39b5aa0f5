"""What is said of names that there are not, and what HEAD answers."""

from typing import Any

import httpx
import pytest
from gateway_support.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
async def test_a_field_that_is_none_is_refused_with_the_one_that_may_be_meant(
    house: House, path: str
):
    words = {"/v1/completions": {"prompt": "a"}, "/v1/responses": {"input": "a"}}
    body = {"model": "default", "temprature": 0.5, "invented": 1}
    body |= words.get(path) or {"messages": [{"role": "user", "content": "a"}]}
    answer = await house.http().post(path, json=body)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "unknown_parameter")
    assert error["param"] == "temprature"
    assert error["errors"] == [
        "temprature: unknown field. Did you mean 'temperature'?",
        "invented: unknown field. /docs names those there are",
    ]
    assert house.inference.requests == []


async def asked(house: House, model: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "a"}]}
    return await house.http().post("/v1/chat/completions", json=body)


async def test_an_unknown_model_is_refused_with_the_one_that_may_be_meant(house: House):
    far = await asked(house, "gpt-9")
    # By an alias and by its own name, misspelt or begun.
    for wrong, meant in (("defalt", "default"), ("knids", "kinds"), ("tin", "tiny")):
        near = await asked(house, wrong)
        assert near.json()["error"]["message"] == (
            f"the model {wrong!r} does not exist. Did you mean {meant!r}?"
            " GET /v1/models lists what there is"
        )
    assert (near.status_code, "Did you mean" in far.json()["error"]["message"]) == (404, False)
    assert "GET /v1/models lists what there is" in far.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "listed_at"),
    [
        ("/v1/jobs", "/v1/jobs"),
        ("/v1/fine_tuning/jobs", "/v1/jobs?kind=train"),
        ("/v1/evaluations", "/v1/jobs?kind=evaluate"),
        ("/v1/batches", "/v1/batches"),
        ("/v1/evals", "/v1/evals"),
        ("/v1/datasets", "/v1/datasets"),
        ("/v1/webhooks", "/v1/webhooks"),
        ("/v1/keys", "/v1/keys"),
        ("/v1/feedback", "/v1/feedback"),
    ],
)
async def test_an_unknown_id_is_refused_with_where_all_of_them_stand(
    house: House, path: str, listed_at: str
):
    client = house.http(tenant="unknown-ids")
    answer = await client.get(f"{path}/x-1")

    message = answer.json()["error"]["message"]
    assert answer.status_code == 404
    assert message.startswith("no ")
    assert message.endswith(f" 'x-1'. GET {listed_at} lists what there is")
    assert (await client.get(listed_at)).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("/v1/chat/completons", "/v1/chat/completions"),
        ("/v1/fine_tuning/job", "/v1/fine_tuning/jobs"),
        ("/v1/fine-tuning/jobs", "/v1/fine_tuning/jobs"),
        ("/generat", "/generate"),
        ("/v1/nothing-of-the-sort", None),
    ],
)
async def test_a_path_that_there_is_not_is_refused_with_the_one_that_may_be_meant(
    house: House, wrong: str, near: str | None
):
    answer = await house.http().get(wrong)

    hint = f" Did you mean {near!r}?" if near else ""
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"there is no such path.{hint} /docs lists all"


async def test_a_field_that_is_missing_is_asked_for_by_what_may_be_a_slip_of_it(house: House):
    body = {"modle": "default", "messages": [{"role": "user", "content": "a"}]}
    answer = await house.http().post("/v1/chat/completions", json=body)

    assert answer.json()["error"]["errors"] == [
        "model: field required. Did you write it as 'modle'?"
    ]


async def test_an_alias_that_there_is_not_is_refused_with_the_one_that_may_be_meant(house: House):
    client = house.http()
    await client.put("/v1/aliases/animals", json={"version_id": "kinds"})
    for path in ("/v1/aliases/anmals", "/v1/models/anmals"):
        answer = await client.delete(path)
        assert answer.status_code == 404
        assert "Did you mean 'animals'?" in answer.json()["error"]["message"]


async def test_a_field_that_goes_on_after_the_given_one_is_nearer_than_one_that_looks_like_it(
    house: House,
):
    body = {"name": "a", "file": "file-1", "mapping": {"user": "{a}"}}
    answer = await house.http().post("/v1/datasets", json=body)

    errors = answer.json()["error"]["errors"]
    assert "file: unknown field. Did you mean 'file_id'?" in errors
    assert "mapping.user: unknown field. Did you mean 'user_template'?" in errors


@pytest.mark.parametrize(
    ("path", "body", "meant"),
    [
        ("/v1/datasets", {"file_id": "file-1", "user_template": "{a}"}, "mapping.user_template"),
        ("/v1/datasets", {"file_id": "file-1", "near_treshold": 1}, "duplicates.near_threshold"),
        ("/v1/fine_tuning/jobs", {"model": "m", "lora_rnk": 8}, "hyperparameters.lora_rank"),
    ],
)
async def test_a_field_that_belongs_one_level_deeper_is_named_with_its_path(
    house: House, path: str, body: dict[str, Any], meant: str
):
    answer = await house.http().post(path, json=body)

    given = [*body][-1]
    said = answer.json()["error"]["errors"]
    assert f"{given}: unknown field. Did you mean {meant!r}?" in said


async def test_a_field_that_is_like_no_other_is_told_with_all_where_they_are_few(house: House):
    body = {"name": "a", "file_id": "file-1", "mapping": {}, "split": {"test": 0.2}}
    answer = await house.http().post("/v1/datasets", json=body)

    [said] = [it for it in answer.json()["error"]["errors"] if it.startswith("split: ")]
    assert said.startswith("split: unknown field. There are priority, ")
    assert " shares, " in said


async def test_head_is_answered_as_get_without_the_body(house: House):
    client = house.http()
    for path, status in (("/v1/models", 200), ("/v1/models/gpt-9", 404), ("/healthz", 200)):
        whole, head = await client.get(path), await client.head(path)

        assert head.status_code == whole.status_code == status
        assert head.content == b""
        for name in ("content-type", "content-length"):
            assert head.headers[name] == whole.headers[name]
    assert (await client.head("/v1/chat/completions")).status_code == 405
    # The connection goes on as if nothing had been.
    assert (await client.get("/v1/models")).status_code == 200
