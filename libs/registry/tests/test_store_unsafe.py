"""What could run code, or leads out of its folder, does not enter the store."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modelmill_registry.verifying_store import VerifyingStore
from modelmill_service_kit.errors import InvalidInputError
from registry_support.store_files import FolderOf


def archive(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as stream:
        stream.writestr(name, b"x")
    return buffer.getvalue()


def object_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def read_back(store: VerifyingStore, digest: str) -> dict[str, bytes]:
    """Files of an artifact, as whoever uses it gets them."""
    folder = store.materialise(digest)
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


class Harmful:
    """Runs a command when it is unpickled, as the real ones do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/never",)


LONG = "x" * (3 << 20)
UNSAFE = {
    **{f"weights{suffix}": b"x" for suffix in (".pt", ".pth", ".pkl", ".pickle", ".ckpt")},
    "model.JOBLIB": b"x",
    **{f"proto{n}.bin": pickle.dumps(Harmful(), protocol=n) for n in range(6)},
    "long0.bin": pickle.dumps((LONG, Harmful()), protocol=0),
    "long4.json": pickle.dumps((LONG, Harmful()), protocol=4),
    "plain4.txt": pickle.dumps({"a": [1, 2, "three"]}, protocol=4),
    "old_torch.bin": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
    "inst.bin": b"(S'touch /tmp/never'\nios\nsystem\n.",
    "obj.bin": b"(cos\nsystem\nS'touch /tmp/never'\no.",
    "torch.bin": archive("archive/data.pkl"),
    "arrays.npz": archive("a.npy"),
    "objects.npy": object_array(),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_a_file_that_runs_code_when_loaded_is_refused_by_name_or_content(
    store: VerifyingStore, folder_of: FolderOf, name: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        store.commit(folder_of({name: UNSAFE[name], "ok.json": b"{}"}), kind="model", form="x")
    assert len(caught.value.errors) == 1
    assert caught.value.message.startswith(name)


@pytest.mark.parametrize("name", ["model.py", "sub/tool.pyc", "kernel.so"])
def test_code_is_refused_in_a_model_and_only_there(
    store: VerifyingStore, folder_of: FolderOf, name: str
) -> None:
    folder = folder_of({name: b"print(1)"})
    with pytest.raises(InvalidInputError, match="is code"):
        store.commit(folder, kind="model", form="safetensors")
    kept = store.commit(folder, kind="file", form="jsonl")
    assert read_back(store, kept.digest) == {name: b"print(1)"}


def test_raw_weights_and_texts_that_only_look_dangerous_are_kept(
    store: VerifyingStore, folder_of: FolderOf
) -> None:
    random = np.random.default_rng(0)
    files = {
        "openvino_model.bin": random.integers(0, 256, 100_000, np.uint8).tobytes(),
        "zeros.bin": bytes(10_000),
        "int8.bin": b"\x80\x02" + random.integers(0, 256, 1000, np.uint8).tobytes(),
        # A safetensors header of 640 bytes starts with the two bytes of a pickle of protocol 2.
        "model.safetensors": (640).to_bytes(8, "little") + b"{}" + b" " * 638,
        "content.txt": b"content\nfoo\nRed",
        "prose.md": b"(in short)\nnothing\n",
        "array.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False}",
    }
    kept = store.commit(folder_of(files), kind="model", form="openvino-int8")

    assert read_back(store, kept.digest) == files


def test_an_upload_may_be_any_text(store: VerifyingStore, folder_of: FolderOf) -> None:
    files = {"content": b"cos\nsystem\n(S'ls'\ntR."}
    kept = store.commit(folder_of(files), kind="file", form="csv")

    assert read_back(store, kept.digest) == files


def test_links_pipes_and_bad_names_are_listed_together(
    store: VerifyingStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    folder = folder_of({"ok": b"1", "back\\slash": b"2", "sub/line\nbreak": b"3"})
    (folder / "file-link").symlink_to("/etc/passwd")
    (folder / "folder-link").symlink_to(tmp_path)
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "sub" / "pipe")
    with pytest.raises(InvalidInputError) as caught:
        store.commit(folder, kind="file", form="jsonl")
    assert len(caught.value.errors) == 6


def test_a_name_that_is_not_utf8_is_refused(store: VerifyingStore, folder_of: FolderOf) -> None:
    folder = folder_of({"ok": b"1"})
    (folder / os.fsdecode(b"\xff\xfe")).write_bytes(b"x")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        store.commit(folder, kind="file", form="jsonl")


def archive_of(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as stream:
        for name in names:
            stream.writestr(name, b"x")
    return buffer.getvalue()


WORKBOOK = ("[Content_Types].xml", "xl/workbook.xml", "_rels/.rels", "xl/printerSettings1.bin")
DOCUMENT = ("[Content_Types].xml", "word/document.xml", "_rels/.rels", "word/fonts/font1.odttf")


@pytest.mark.parametrize("office", [WORKBOOK, DOCUMENT], ids=["xlsx", "docx"])
def test_an_uploaded_office_file_is_kept_unless_it_holds_what_an_unpickler_looks_for(
    store: VerifyingStore, folder_of: FolderOf, office: tuple[str, ...]
) -> None:
    kept = store.commit(folder_of({"content": archive_of(*office)}), kind="file", form="x")
    assert store.manifest(kept.digest) == kept

    for names in ((*office, "xl/data.pkl"), (*office, "a.npy"), office[1:], office[:1]):
        with pytest.raises(InvalidInputError, match="zip archive"):
            store.commit(folder_of({"content": archive_of(*names)}), kind="file", form="x")
    with pytest.raises(InvalidInputError, match="zip archive"):
        store.commit(folder_of({"content": archive_of(*office)}), kind="model", form="x")
