"""The variant `cpu` has the versions of the lock, wheels for CPUs, and nothing of CUDA."""

import re
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.images.cpu_lock import OF_CUDA, OF_TORCH, cpu_lock
from deploy.supply.locked import IMAGE, locked

ROOT = Path(__file__).parents[2]
LOCKS = [
    *(f"services/{service}/requirements.txt" for service in ("trainer", "optimizer_builder")),
    "deploy/all-in-one/requirements.txt",
]


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    found = (OF_TORCH.match(line) for line in (ROOT / LOCKS[-1]).read_text().splitlines())
    for name, version in (each.groups() for each in found if each):
        (tmp_path / f"{name}-{version}+cpu-cp311-cp311-linux_x86_64.whl").write_text(name)
    return tmp_path


@pytest.mark.parametrize("lock", LOCKS)
def test_the_variant_has_the_lock_without_cuda_and_demands_every_hash(lock: str, wheels: Path):
    given = ROOT / lock
    (wheels / "cpu.txt").write_text("\n".join(cpu_lock(given.read_text(), wheels)))

    cpu = {each.name: each for each in locked(wheels / "cpu.txt")}
    cuda = {each.name: each for each in locked(given)}
    gone = cuda.keys() - cpu.keys()
    assert gone
    assert all(OF_CUDA.match(f"{name}==") for name in gone)
    assert "nvidia-ml-py" in cpu
    assert cpu["torch"].version == f"{cuda['torch'].version}+cpu"
    assert cpu["torch"].sha256 == (sha256(b"torch").hexdigest(),)
    assert all(each.sha256 for each in cpu.values())
    assert {it for it in cpu.values() if "torch" not in it.name} <= set(cuda.values())


@pytest.mark.parametrize("lock", LOCKS)
def test_nothing_but_torch_needs_what_the_variant_lacks(lock: str):
    # xgrammar loads triton for tensors on a GPU alone.
    names = {each.name for each in locked(ROOT / lock)} - {"xgrammar"}
    gone = {name for name in names if OF_CUDA.match(f"{name}==")}

    for name in names - gone - {"torch"}:
        needed = [Requirement(each) for each in metadata.requires(name) or ()]
        here = {
            canonicalize_name(it.name)
            for it in needed
            if it.marker is None or it.marker.evaluate(IMAGE | {"extra": ""})
        }
        assert not here & gone, name


def test_a_missing_wheel_is_named_with_the_command_that_gets_it(tmp_path: Path):
    with pytest.raises(FileNotFoundError) as refused:
        [*cpu_lock((ROOT / LOCKS[0]).read_text(), tmp_path)]

    said = str(refused.value)
    assert re.search(r"0 wheels torch-[\d.]+\+cpu for Python 3.11. Get one: pip download", said)
