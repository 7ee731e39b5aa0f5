"""The report of a run is one page that needs nothing else, and says what is served and how well."""

import json
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import httpx
import pytest
from modelmill_client import Modelmill
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.run_recipe import RecipeResult, ToldStep
from modelmill_recipes.run_report import request_of, run_report

ANSWERS: dict[str, Any] = {
    "/v1/files/file-1": {"filename": "<rows>.jsonl", "sha256": "ab12"},
    "/v1/datasets/ds-1": {"digest": "sha256:d5"},
    "/v1/models/mv-base": {"digest": "sha256:ba5e"},
    "/v1/models/mv-lora": {"digest": "sha256:10a"},
    "/v1/models/mv-int8": {"digest": "sha256:18"},
}
LOSSES = [
    {"data": {"phase": "validate", "step": 9, "loss": 100.0}},
    *({"data": {"phase": "train", "step": n, "loss": 4 / n}} for n in (3, 2, 1)),
]


def client_of() -> Modelmill:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/jobs/job-train/events":
            return httpx.Response(200, json={"data": LOSSES, "has_more": False})
        return httpx.Response(200, json=ANSWERS[request.url.path])

    return Modelmill("http://gateway", "secret-token", transport=httpx.MockTransport(answer))


def share(value: float) -> dict[str, float]:
    return {"value": value, "mean": value, "low": value - 0.1, "high": value + 0.1}


def result() -> RecipeResult:
    accuracy = {"measures": {"accuracy": {"model": share(0.75)}}, "rows": 20}
    return RecipeResult(
        base_version_id="mv-base",
        file_ids=["file-1"],
        dataset_id="ds-1",
        dataset={"rows_in": 1200},
        version_id="mv-lora",
        training={"accuracy_tuned": share(0.5), "differences": {"tuned-base": share(0.3)}},
        served_version_id="mv-int8",
        evaluation={"suites": {"test": accuracy}, "protections": []},
        aliases={"wordnet": "mv-int8"},
        steps={"training": ToldStep(job_id="job-train")},
    )


def test_the_page_has_scores_losses_recipe_digests_and_the_request(recipe_file: Path) -> None:
    recipe = Recipe.load(recipe_file)
    with client_of() as client:
        page = run_report(recipe, result(), client, client.url).decode()
    for said in (
        "50.0%</td><td>40.0% to 60.0%",
        "30.0%</td><td>20.0% to 40.0%",
        "test: accuracy",
        "65.0% to 85.0%",
        "sha256:ab12",
        "sha256:d5",
        "sha256:ba5e",
        "sha256:18",
        "job-train",
        "user_template: &#34;{word}: {gloss}&#34;",
        "&lt;rows&gt;.jsonl",
        "rows 1,200",
    ):
        assert said in page, said
    assert "<polyline points=" in page
    assert "secret-token" not in page


def test_the_page_asks_for_nothing_and_its_drawings_are_well_formed(recipe_file: Path) -> None:
    with client_of() as client:
        page = run_report(Recipe.load(recipe_file), result(), client, client.url).decode()
    assert "default-src 'none'" in page
    for word in ("src=", "href=", "<script", "@import", "url("):
        assert word not in page, word
    drawing = ElementTree.fromstring(page[page.index("<svg id=") :].split("</svg>")[0] + "</svg>")
    points = [tuple(map(float, point.split(","))) for point in drawing[0].get("points", "").split()]
    assert len(points) == 3
    assert points == sorted(points)
    heights = [height for _, height in points]
    assert heights == sorted(heights)  # the loss falls


def test_a_run_that_ended_at_a_gate_says_that_no_alias_was_moved(recipe_file: Path) -> None:
    made = RecipeResult(
        evaluation={"protections": [{"measure": "accuracy", "passed": False, "why": "0.4 < 0.5"}]}
    )
    with client_of() as client:
        page = run_report(Recipe.load(recipe_file), made, client, client.url).decode()
    assert "No alias was moved" in page
    assert "accuracy: not met: 0.4 &lt; 0.5" in page


@pytest.mark.parametrize("word", ["it's", 'say "好"', "a\\b", "$HOME `ls`"])
def test_the_request_can_be_copied_whatever_the_first_row_says(
    recipe_file: Path, word: str
) -> None:
    rows = recipe_file.parents[1] / "demo" / "wordnet_nouns.jsonl"
    rows.write_text(json.dumps({"word": word, "gloss": "g", "label": "l"}) + "\n")
    request = request_of(Recipe.load(recipe_file), "http://gateway")
    words = shlex.split(request.curl.replace("\\\n", " "))
    asked = json.loads(words[words.index("-d") + 1])
    assert asked["model"] == "wordnet"
    assert asked["messages"] == [
        {"role": "system", "content": "Name the kind of thing."},
        {"role": "user", "content": f"{word}: g"},
    ]
    compile(request.python, "request.py", "exec")
