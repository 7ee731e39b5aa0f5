"""Broken, deep, huge and odd requests get one clear refusal in OpenAI's shape."""

import asyncio

import httpx
import pytest
from gateway_support.house import House
from gateway_support.job_owners import MAX_FILE_BYTES

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
JSON_ROUTES = (
    "/generate",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/datasets",
    "/v1/datasets/preview",
    "/v1/uploads",
    "/v1/uploads/upload_x/complete",
    "/v1/fine_tuning/jobs",
    "/v1/optimizations",
    "/v1/evaluations",
)


def error_of(answer: httpx.Response) -> dict[str, object]:
    error = answer.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
    ids=["empty", "cut off", "nonsense", "half a character", "not utf-8", "deep", "deep objects"],
)
async def test_a_body_that_is_not_json_is_a_bad_request(house: House, body: bytes):
    async with house.http() as client:
        for path in JSON_ROUTES:
            answer = await client.post(path, content=body)
            assert answer.status_code == 400, path
            assert error_of(answer)["code"] == "invalid_json"


@pytest.mark.parametrize("body", ["[]", '"text"', "7", "null"])
async def test_json_of_another_shape_is_refused(house: House, body: str):
    async with house.http() as client:
        for path in JSON_ROUTES:
            answer = await client.post(path, content=body)
            assert answer.status_code in (400, 422), path
            error_of(answer)


async def test_a_body_over_the_limit_is_refused_before_and_while_it_comes(house: House):
    async def endless():
        for _ in range(64):
            yield b" " * 65536

    async with house.http() as client:
        for path in JSON_ROUTES:
            declared = await client.post(path, content=b" " * (MIB + 1))
            assert declared.status_code == 413, path
            assert error_of(declared)["code"] == "too_large"
            chunked = await client.post(path, content=endless())
            assert chunked.status_code == 413, path


@pytest.mark.parametrize(
    "head",
    [b"a: " + b"b" * 40_000, b"".join(b"a%d: b\r\n" % n for n in range(9000)) + b"\r\n"],
    ids=["one that does not end", "many that do"],
)
async def test_a_head_over_the_limit_is_refused(house: House, head: bytes):
    host, port = house.settings.http_address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + head)

    assert (await reader.read(12)).endswith(b"431")
    writer.close()
    await writer.wait_closed()


async def test_all_that_is_wrong_with_a_job_is_said_at_once(house: House):
    body = {
        "training_file": "ds-x",
        "suffix": "",
        "validation_file": 5,
        "invented": True,
        "hyperparameters": {
            "learning_rate": -1,
            "lora_rank": 0,
            "batch_size": "many",
            "warmup_ratio": 0,
            "learning_rate_multiplier": 0,
            "momentum": 0.9,
        },
    }
    async with house.http() as client:
        answer = await client.post("/v1/fine_tuning/jobs", json=body)
    errors = error_of(answer)["errors"]

    assert answer.status_code == 422
    assert {error.partition(":")[0] for error in errors} == {
        "model",
        "suffix",
        "validation_file",
        "invented",
        "hyperparameters.learning_rate",
        "hyperparameters.lora_rank",
        "hyperparameters.batch_size",
        "hyperparameters.warmup_ratio",
        "hyperparameters.learning_rate_multiplier",
        "hyperparameters.momentum",
    }


async def test_what_only_the_trainer_knows_is_listed_alike(house: House):
    async with house.http() as client:
        file = await client.post(
            "/v1/files", files={"file": ("a.jsonl", b"{}")}, data={"purpose": "fine-tune"}
        )
        answer = await client.post(
            "/v1/fine_tuning/jobs",
            json={
                "model": "tiny",
                "training_file": file.json()["id"],
                "hyperparameters": {"learning_rate": 5, "lora_rank": 999},
            },
        )
    assert answer.status_code == 422
    assert error_of(answer)["errors"] == [
        "learning_rate must be at most 1",
        "lora_rank must be at most 256",
    ]


async def test_a_choice_given_twice_must_be_the_same(house: House):
    body = {
        "model": "tiny",
        "training_file": "ds-x",
        "hyperparameters": {"epochs": 1, "n_epochs": 2},
    }
    async with house.http() as client:
        answer = await client.post("/v1/fine_tuning/jobs", json=body)

    assert answer.status_code == 422
    assert "epochs" in str(error_of(answer)["errors"])


async def test_an_upload_passes_in_pieces_of_a_mebibyte(house: House):
    content = bytes(2 * MIB + 5)
    house.data_prep.chunk_sizes.clear()
    async with house.http() as client:
        answer = await client.post(
            "/v1/files", files={"file": ("a.csv", content)}, data={"purpose": "fine-tune"}
        )
        assert answer.json()["bytes"] == len(content)
        assert max(house.data_prep.chunk_sizes) <= MIB
        assert len(house.data_prep.chunk_sizes) == 3


async def test_an_upload_over_data_preps_limit_is_refused(house: House):
    async with house.http() as client:
        answer = await client.post(
            "/v1/files",
            files={"file": ("a.csv", bytes(MAX_FILE_BYTES + MIB))},
            data={"purpose": "fine-tune"},
        )
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "too_large"


async def test_an_upload_that_has_to_wait_is_told_when_to_come_back(house: House):
    house.data_prep.busy = True
    async with house.http() as client:
        answer = await client.post(
            "/v1/files", files={"file": ("a.csv", b"a")}, data={"purpose": "fine-tune"}
        )
        part = await uploaded_part(client)
    house.data_prep.busy = False

    for refused in (answer, part):
        assert (refused.status_code, error_of(refused)["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "5"


async def uploaded_part(client: httpx.AsyncClient) -> httpx.Response:
    body = {"filename": "rows.jsonl", "purpose": "fine-tune", "bytes": 1}
    began = await client.post("/v1/uploads", json=body)
    files = {"data": ("part", b"x")}
    return await client.post(f"/v1/uploads/{began.json()['id']}/parts", files=files)


async def test_a_tenant_with_too_many_open_uploads_hears_of_its_own_limit(house: House):
    house.data_prep.most_open = 0
    body = {"filename": "rows.jsonl", "purpose": "fine-tune", "bytes": 1}
    async with house.http() as client:
        refused = await client.post("/v1/uploads", json=body)
    house.data_prep.most_open = None

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nx\r\n--b--\r\n',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nx\r\n--b\r\n'
            b'content-disposition: form-data; name="file"; filename="a"\r\n\r\ncut',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\n'
            + b"x" * 5000
            + b"\r\n--b--\r\n",
        ),
    ],
    ids=[
        "json",
        "no boundary",
        "nonsense",
        "empty",
        "no headers",
        "no file",
        "cut off",
        "long field",
    ],
)
async def test_a_form_that_is_not_an_upload_is_refused(
    house: House, content_type: str, content: bytes
):
    async with house.http() as client:
        answer = await client.post(
            "/v1/files", content=content, headers={"content-type": content_type}
        )
    assert answer.status_code == 400
    error_of(answer)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=²", "after=nobody"])
async def test_a_page_that_does_not_exist_is_refused(house: House, query: str):
    async with house.http() as client:
        answer = await client.get(f"/v1/jobs?{query}")

    assert answer.status_code == 400
    assert error_of(answer)["param"] in query


async def test_an_idempotency_key_must_be_short_and_printable(house: House):
    body = {"file_id": "file-x", "mapping": {"messages_column": "m"}}
    async with house.http() as client:
        answer = await client.post(
            "/v1/datasets", json=body, headers={"idempotency-key": "k" * 256}
        )
    assert error_of(answer)["param"] == "idempotency-key"


@pytest.mark.parametrize("name", ["UPPER", "a.b", "a b", "-a", "x" * 64, "*"])
async def test_an_alias_must_have_a_plain_name(house: House, name: str):
    async with house.http() as client:
        answer = await client.put(f"/v1/aliases/{name}", json={"version_id": "mv-x"})
    assert answer.status_code == 422
    error_of(answer)
