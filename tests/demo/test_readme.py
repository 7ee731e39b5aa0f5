"""The README's examples ask the demo's model as it was trained."""

import ast
import json
import re
from pathlib import Path

from modelmill_cli.demo.recipe import ALIAS, SYSTEM_TURN

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SYSTEM_MESSAGE = {"role": "system", "content": SYSTEM_TURN}


def test_the_examples_begin_with_the_system_turn_of_training() -> None:
    [python] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    [call] = [
        {keyword.arg: keyword.value for keyword in node.keywords}
        for node in ast.walk(ast.parse(python))
        if isinstance(node, ast.Call) and {"model", "messages"} <= {it.arg for it in node.keywords}
    ]
    [body] = re.findall(r"curl .*?/v1/chat/completions.*?-d '(.*?)'", README, re.DOTALL)
    curl = json.loads(body)

    assert (ast.literal_eval(call["model"]), curl["model"]) == (ALIAS, ALIAS)
    assert ast.literal_eval(call["messages"])[0] == SYSTEM_MESSAGE
    assert curl["messages"][0] == SYSTEM_MESSAGE
