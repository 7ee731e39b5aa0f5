"""Files that were uploaded before are known by content and format, whatever came after."""

from hashlib import sha256
from pathlib import Path

import httpx
from modelmill_client import Modelmill
from modelmill_recipes.orders import stored_files


def client_of(*files: tuple[str, bytes]) -> Modelmill:
    """Of a gateway with these files, the oldest first."""

    def answer(request: httpx.Request) -> httpx.Response:
        wanted = request.url.params
        assert (wanted["purpose"], wanted["order"]) == ("fine-tune", "asc")
        listed = [
            {"id": f"file-{n}", "filename": name, "sha256": sha256(content).hexdigest()}
            for n, (name, content) in enumerate(files)
        ]
        return httpx.Response(200, json={"data": listed})

    return Modelmill("http://gateway", "token", transport=httpx.MockTransport(answer))


def test_the_first_upload_of_content_and_format_counts_and_copies_are_left_out(
    tmp_path: Path,
) -> None:
    for name, content in (("a.csv", b"x"), ("copy.csv", b"x"), ("a.txt", b"x"), ("b.csv", b"y")):
        (tmp_path / name).write_bytes(content)
    files = [tmp_path / name for name in ("a.csv", "copy.csv", "a.txt", "b.csv")]
    uploaded = (("x.csv.gz", b"x"), ("old.csv", b"x"), ("new.csv", b"x"), ("x.tar.txt", b"x"))
    with client_of(*uploaded) as client:
        found = stored_files(client, files)
    assert {file.name: known for file, known in found.items()} == {
        "a.csv": "file-1",
        "a.txt": "file-3",
        "b.csv": "",
    }
