"""Modules that load a tensor library are known from their source, also through others."""

from pathlib import Path

import pytest
from modelmill_testkit.heavy_imports import HeavyImports

FILES = {
    "libs/x/src/modelmill_x/__init__.py": "",
    "libs/x/src/modelmill_x/heavy.py": "import torch\n",
    "libs/x/src/modelmill_x/light.py": "def later():\n    import torch\n",
    "libs/x/src/modelmill_x/around/__init__.py": "from transformers import AutoModel\n",
    "libs/x/src/modelmill_x/around/inner.py": "",
    "libs/x/tests/helper.py": "from modelmill_x.heavy import thing\n",
    "libs/x/tests/support/shared.py": "from . import helper_of_support\n",
    "libs/x/tests/support/helper_of_support.py": "from peft import (\n    LoraConfig,\n)\n",
}


@pytest.mark.parametrize(
    ("source", "is_heavy"),
    [
        ("import json\nimport torch.nn\n", True),
        ("from modelmill_x import heavy\n", True),
        ("from modelmill_x.heavy import thing\n", True),
        ("from modelmill_x.around.inner import thing\n", True),
        ("from helper import thing\n", True),
        ("from .helper import thing\n", True),
        ("from shared import (\n    thing,\n    other,\n)\n", True),
        ("from modelmill_x import light\n", False),
        ("def test_it():\n    import torch\n", False),
        ("import torchless\nfrom json import torch\n", False),
    ],
)
def test_a_module_is_heavy_if_what_it_imports_is(
    tmp_path: Path, source: str, is_heavy: bool
) -> None:
    for name, content in (FILES | {"libs/x/tests/test_it.py": source}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    loaded = HeavyImports(tmp_path).loaded_by(tmp_path / "libs/x/tests/test_it.py")
    assert bool(loaded) is is_heavy
