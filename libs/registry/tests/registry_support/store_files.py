"""Files of a store and of folders that go into it, and how to damage them."""

import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FolderOf = Callable[[Mapping[str, bytes]], Path]

NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='/\\:"'),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", "..") and not name.endswith((".pt", ".ckpt")))
# Begins with what no pickle or archive begins with; those are refused, as other tests show.
CONTENTS = st.just(b"") | st.binary(max_size=200).map(lambda content: b"=" + content)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join), CONTENTS, min_size=1, max_size=8
).filter(
    # A name cannot be a file and a folder at once.
    lambda tree: not any(a != b and b.startswith(f"{a}/") for a in tree for b in tree)
)

many = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
few = settings(many, max_examples=10)
"""For a store whose every call crosses a socket."""


def write(folder: Path, tree: Mapping[str, bytes]) -> Path:
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def flip(path: Path, position: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """A disk that is full after so many bytes: the kernel refuses longer files to this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
