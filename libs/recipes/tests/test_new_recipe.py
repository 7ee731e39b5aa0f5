"""A new recipe reads its file as a person would, and is a recipe."""

import json
from pathlib import Path

import pytest
from modelmill_recipes.new_recipe import new_recipe
from modelmill_recipes.propose import KINDS, Kind
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.survey_rows import survey_rows
from modelmill_service_kit.errors import InvalidInputError

TICKETS = "ticket,team\nno power,hardware\nwrong bill,billing\nbroken,hardware\nlate,billing\n"
CASES: list[tuple[Kind, str, str, dict[str, str]]] = [
    ("classify", "t.csv", TICKETS, {"user_template": "{ticket}", "answer_template": "{team}"}),
    (
        "classify",
        "t.csv",
        "id;subject;body;group\n1;a;b;x\n2;c;d;y\n3;e;f;x\n4;g;h;y\n",
        {"user_template": "subject: {subject}\nbody: {body}", "answer_template": "{group}"},
    ),
    (
        "extract",
        "t.jsonl",
        '{"mail": "hello", "json": "{}"}\n',
        {"user_template": "{mail}", "answer_template": "{json}"},
    ),
    ("chat", "t.jsonl", '{"messages": []}\n', {"layout": "openai_chat"}),
    ("chat", "t.jsonl", '{"conversations": []}\n', {"layout": "sharegpt"}),
    ("chat", "t.jsonl", '{"instruction": "a", "output": "b"}\n', {"layout": "alpaca"}),
    ("chat", "问答.csv", "question,Reply\n好,是\n", {"answer_template": "{Reply}"}),
    ("continue", "t.jsonl", '{"text": "long"}\n', {"layout": "text"}),
    ("preference", "t.jsonl", '{"chosen": "a", "rejected": "b"}\n', {"layout": "preference"}),
    (
        "preference",
        "t.tsv",
        "prompt\tbetter\tworse\na\tb\tc\n",
        {"rejected_template": "{worse}", "answer_template": "{better}"},
    ),
    ("distill", "t.csv", "prompt,answer\na,b\n", {"user_template": "{prompt}"}),
]


@pytest.mark.parametrize(("kind", "name", "content", "mapping"), CASES)
def test_the_mapping_is_what_the_columns_say_and_the_text_is_a_recipe(
    tmp_path: Path, kind: Kind, name: str, content: str, mapping: dict[str, str]
) -> None:
    data, output = tmp_path / "rows" / name, tmp_path / "recipe.yaml"
    data.parent.mkdir()
    data.write_text(content, encoding="utf-8")
    output.write_text(new_recipe(kind, [str(data)], output, base="some-base"), encoding="utf-8")
    recipe = Recipe.load(output)
    assert recipe.files == (data.resolve(),)
    assert mapping.items() <= recipe.dataset["mapping"].items()


def test_every_kind_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "content"),
    [("classify", "a,b\n1,2\n3,4\n5,6\n"), ("continue", "body\nx\n"), ("preference", "a,b\n1,2\n")],
)
def test_where_no_column_will_do_the_columns_are_named(
    tmp_path: Path, kind: Kind, content: str
) -> None:
    data = tmp_path / "rows.csv"
    data.write_text(content)
    with pytest.raises(InvalidInputError, match=f"The file has {content.splitlines()[0][0]}"):
        new_recipe(kind, [str(data)], tmp_path / "r.yaml", base="b")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00a", b"[1]\n", b"{\n", b""])
def test_a_file_that_is_not_read_here_is_refused_with_the_remedy(
    tmp_path: Path, content: bytes
) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"mill data preview|has no rows"):
        new_recipe("chat", [str(data)], tmp_path / "r.yaml", base="b")


def test_the_encoding_of_a_file_is_detected(tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    rows = [
        f"我想退掉上周买的第{number}台打印机,{'退货' if number % 2 else '订单'}"
        for number in range(9)
    ]
    data.write_bytes("\n".join(["问题,类别", *rows]).encode("gb18030"))
    text = new_recipe("classify", [str(data)], tmp_path / "r.yaml", base="b")
    assert 'answer_template: "{类别}"' in text


@pytest.mark.tier("test")
def test_who_wants_answers_out_of_documents_is_told_how_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Printers\n\nThey print.\n")
    with pytest.raises(InvalidInputError, match="mill data generate"):
        new_recipe("chat", [str(tmp_path / "docs")], tmp_path / "r.yaml", base="b")
    text = new_recipe("continue", [str(tmp_path / "docs")], tmp_path / "r.yaml", base="b")
    assert "name: docs\n" in text


def test_a_base_folder_that_is_not_there_makes_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    data = _written(tmp_path, a=FIRST)
    with pytest.raises(InvalidInputError, match="Did you mean 'base'"):
        new_recipe("classify", data, tmp_path / "r.yaml", base=f"{tmp_path}/bsae")


def test_values_that_are_no_text_count_as_what_they_look_like(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    rows = [{"note": f"n{number}", "stars": number % 3} for number in range(9)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = new_recipe("classify", [str(data)], tmp_path / "r.yaml", base="b")
    assert 'answer_template: "{stars}"' in text


FIRST, SECOND = "text,label,note\na,x,1\nb,y,2\n", "label,text\nx,c\ny,d\n"


def _written(folder: Path, **files: str) -> list[str]:
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content)
    return [str(folder / f"{name}.csv") for name in files]


@pytest.mark.parametrize("data", [["a.csv", "b.csv"], ["*.csv"], ["a.csv", "*.csv"]])
def test_of_several_files_the_mapping_has_the_columns_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: list[str]
) -> None:
    _written(tmp_path, a=FIRST, b=SECOND)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    output = Path("recipes", "r.yaml")
    output.write_text(new_recipe("classify", data, output, base="b"))
    recipe = Recipe.load(output)
    assert recipe.files == (tmp_path / "a.csv", tmp_path / "b.csv")
    assert recipe.dataset["mapping"] == {"user_template": "{text}", "answer_template": "{label}"}
    assert recipe.name == "a"
    assert "# In some files alone: note." in output.read_text()


@pytest.mark.parametrize(
    ("odd", "lacks"),
    [
        ("body,label\na,x\n", ["text"]),
        ("text,team\na,x\n", ["label"]),
        ("words\nx\n", ["text", "label"]),
    ],
)
@pytest.mark.parametrize("place", ["0", "z"])
def test_a_file_that_does_not_fit_the_others_is_named_with_each_column_that_it_lacks(
    tmp_path: Path, odd: str, lacks: list[str], place: str
) -> None:
    data = _written(tmp_path, **{"a": FIRST, "b": SECOND, place: odd})
    with pytest.raises(InvalidInputError) as refused:
        new_recipe("classify", sorted(data), tmp_path / "r.yaml", base="b")
    assert [error.split(", which")[0] for error in refused.value.errors] == [
        f"{tmp_path / place}.csv: has no column {name!r}" for name in lacks
    ]


def test_each_path_and_glob_without_a_file_is_named(tmp_path: Path) -> None:
    (near,) = _written(tmp_path, tickets=FIRST)
    with pytest.raises(InvalidInputError) as refused:
        new_recipe("chat", [f"{near}x", "*.none"], tmp_path / "r.yaml", base="b")
    first, second = refused.value.errors
    assert "tickets.csv" in first.removeprefix(f"no file '{near}x'.")
    assert second.startswith("no file '*.none'.")


@pytest.mark.tier("test")
def test_a_folder_of_documents_is_a_recipe_of_all_that_are_not_empty(tmp_path: Path) -> None:
    folder, output = tmp_path / "docs", tmp_path / "recipe.yaml"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.md").write_text("# Top\n\nText.", encoding="utf-8")
    (folder / "bad.pdf").write_bytes(b"no PDF")
    (folder / "empty.html").touch()
    (folder / "other.bin").write_bytes(b"x")
    (folder / "inner" / "b.txt").write_text("More text.", encoding="utf-8")
    text = new_recipe("continue", [str(folder)], output, base="some-base")
    output.write_text(text, encoding="utf-8")

    recipe = Recipe.load(output)
    names = [str(file.relative_to(folder)) for file in recipe.files]
    assert names == ["a.md", "bad.pdf", "inner/b.txt"]
    assert recipe.dataset["mapping"] == {"layout": "text"}
    assert recipe.training == {"objective": "text"}
    survey = survey_rows(recipe)
    said = [row.messages[0]["content"] for row in survey.sample]
    assert said == ["Top\n\nText.", "More text."]


@pytest.mark.tier("test")
def test_documents_of_which_none_can_be_read_make_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "bad.pdf").write_bytes(b"no PDF")
    with pytest.raises(InvalidInputError, match="none of 1 documents can be read"):
        new_recipe("continue", [str(tmp_path)], tmp_path / "r.yaml", base="b")
