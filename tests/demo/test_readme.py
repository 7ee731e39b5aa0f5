"""The README's examples ask the demo's model as it was trained."""

import ast
import json
import re
from pathlib import Path

from modelmill_cli.demo.base import BASE_NAME
from modelmill_cli.demo.recipe import demo_mapping, demo_recipe

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_examples_begin_with_the_system_turn_of_training() -> None:
    [python] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    [call] = [
        {keyword.arg: keyword.value for keyword in node.keywords}
        for node in ast.walk(ast.parse(python))
        if isinstance(node, ast.Call) and {"model", "messages"} <= {it.arg for it in node.keywords}
    ]
    [body] = re.findall(r"curl .*?/v1/chat/completions.*?-d '(.*?)'", README, re.DOTALL)
    curl = json.loads(body)

    alias = demo_recipe().alias
    system_message = {"role": "system", "content": demo_mapping()["system_template"]}
    assert (ast.literal_eval(call["model"]), curl["model"]) == (alias, alias)
    assert ast.literal_eval(call["messages"])[0] == system_message
    assert curl["messages"][0] == system_message


def test_the_recipe_begins_with_the_base_model_that_the_demo_makes() -> None:
    assert demo_recipe().base == BASE_NAME
