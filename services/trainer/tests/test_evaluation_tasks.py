"""Tasks are read whole or refused with every field that is not understood; none of them is code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_jobs.child import ChildFailure
from modelmill_service_kit.errors import InvalidInputError
from modelmill_trainer.domain.evaluation_plan import EvaluationPlan
from modelmill_trainer.evaluating.items import Suite, drawn, read_rows
from modelmill_trainer.evaluating.tasks.config import read_config
from modelmill_trainer.evaluating.tasks.task_items import task_suite
from modelmill_trainer.evaluating.tasks.templates import TemplateFailed, rendered, template_errors

CHOOSING = """
task: mine
output_type: multiple_choice
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
doc_to_text: "Q: {{ question }}\\nA:"
doc_to_choice: choices
doc_to_target: gold
"""
WRITING = """
task: mine
output_type: generate_until
dataset_kwargs: {data_files: rows.jsonl}
doc_to_text: question
doc_to_target: answer
"""


def refusals(text: str) -> Sequence[str]:
    with pytest.raises(InvalidInputError) as refused:
        read_config(text)
    return refused.value.errors


def suite_of(
    tmp_path: Path, config: str, *rows: str, max_rows: int = 100, shots: Path = Path()
) -> Suite:
    file = tmp_path / "rows"
    file.write_text("".join(f"{row}\n" for row in rows))
    plan = EvaluationPlan(
        split="test",
        measures=(),
        slices=(),
        protections=(),
        max_rows=max_rows,
        max_new_tokens=32,
        seed=1,
        resamples=10,
    )
    return task_suite(read_config(config), {"rows.jsonl": file, "shots.jsonl": shots}, plan)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            "process_docs: !function utils.process",
            "!function is not supported: a task runs",
        ),
        ("x: !!python/object/apply:os.system [ls]", "python/object"),
        ("dataset_path: super_glue", "dataset_path 'super_glue' is not supported"),
        ("dataset_name: boolq", "dataset_name is not supported: nothing is fetched"),
        ("include: other.yaml", "include is not supported"),
        ("group: all", "group is not supported"),
        ("custom_dataset: x", "custom_dataset is not supported"),
        ("repeats: 4", "repeats is not supported"),
        ("filter_list: [{name: x}]", "filter_list is not supported"),
        ("num_fewshot: 3", "num_fewshot needs fewshot_config"),
        ("metric_list: [{metric: brier_score}]", "metric 'brier_score' is not supported"),
        ("metric_list: [{metric: bleu}]", "metric bleu is not for multiple_choice"),
        ("generation_kwargs: {do_sample: true}", "do_sample is not supported"),
        ("generation_kwargs: {top_k: 3}", "generation_kwargs.top_k is not supported"),
        ("description: &a b\ntag: *a", "aliases are not supported"),
        ("weird: 1", "weird is not supported"),
    ],
)
def test_unsupported_fields_are_refused_by_name(line: str, why: str) -> None:
    name = line.partition(":")[0]
    rest = "\n".join(one for one in CHOOSING.splitlines() if not one.startswith(name + ":"))

    assert any(why in error for error in refusals(f"{rest}\n{line}\n")), refusals(f"{rest}\n{line}")


def test_every_error_of_a_task_is_reported_at_once() -> None:
    said = refusals("task: [x]\noutput_type: odd\ndoc_to_text: '{{ q'\ndoc_to_choice: [a]\nx: 1\n")

    for wrong in (
        "task must be a text",
        "output_type 'odd' is unknown",
        "data_files must name uploaded files",
        "doc_to_text: no template",
        "doc_to_target is missing",
        "x is not supported",
    ):
        assert any(wrong in error for error in said), (wrong, said)


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "7", "\x00", "a: " + "[" * 60_000])
def test_a_config_that_is_not_a_mapping_is_refused(text: str) -> None:
    assert len(refusals(text)) == 1


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% include 'x' %}", "include is not supported"),
        ("{% import 'x' as y %}", "import is not supported"),
        ("{% macro f() %}{{ f() }}{% endmacro %}", "macro is not supported"),
        (
            "{% for a in x %}{% for b in a %}{% for c in b %}{% endfor %}{% endfor %}{% endfor %}",
            "deep",
        ),
        ("{{ x | attr('__class__') }}", "filter 'attr' is not supported"),
        ("{{ x | center(10000000000) }}", "filter 'center' is not supported"),
        ("{{ 1" + "+1" * 15_000 + "}}", "recursion"),
        ("{{ x.ljust(10000000000) }}", "method 'ljust' is not supported"),
        ("{{ '{:>9}'.format(x) }}", "method 'format' is not supported"),
    ],
)
def test_forbidden_templates_are_refused_before_they_run(template: str, why: str) -> None:
    assert any(why in error for error in template_errors(template))


@pytest.mark.parametrize(
    "template",
    [
        "{{ x.__class__ }}",
        "{{ x.__init__.__globals__ }}",
        "{{ 'a' * 10000000000 }}",
        "{{ [x] * 10000000000 }}",
        "{{ 9 ** 9999999 }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ range(10) }}",
        "{{ nothing_there }}",
        "nothing_there",
        "{{ 1 / 0 }}",
    ],
)
def test_a_failing_template_skips_only_its_row(template: str) -> None:
    with pytest.raises(TemplateFailed):
        rendered(template, {"x": "text"})


@pytest.mark.parametrize("template", ["{{ quesion | trim }}", "quesion"])
def test_a_column_that_a_row_lacks_is_named_with_the_nearest_and_those_it_has(
    template: str,
) -> None:
    with pytest.raises(TemplateFailed) as caught:
        rendered(template, {"question": "Why?", "gold": 1})
    assert str(caught.value) == (
        "there is no column 'quesion'. Did you mean 'question'? Columns are question, gold"
    )


def test_a_name_that_may_be_missing_is_not_blamed_for_another_fault() -> None:
    template = "{% if hint is defined %}{{ hint }}{% endif %}{{ meta.sourc }}"
    with pytest.raises(TemplateFailed, match="no attribute 'sourc'"):
        rendered(template, {"question": "Why?", "meta": {"source": 1}})


def test_a_template_sees_only_its_row_and_a_bare_name_is_a_column() -> None:
    row = {"q": " What? ", "n": 3, "list": ["a", "b"]}

    assert rendered("{{ q | trim }} {{ n + 1 }}\n", row) == "What? 4\n"
    assert rendered("list", row) == ["a", "b"]
    assert rendered("{% for one in list %}{{ loop.index }}{{ one }}{% endfor %}", row) == "1a2b"
    assert rendered("Say yes.", row) == "Say yes."


def test_choices_come_from_a_column_a_list_or_a_template(tmp_path: Path) -> None:
    row = '{"question": "q", "choices": ["x", "yy"], "gold": 1}'
    for doc_to_choice in ("choices", '"{{ choices }}"', '["x", "yy"]', '"{{ choices | tojson }}"'):
        config = CHOOSING.replace("doc_to_choice: choices", f"doc_to_choice: {doc_to_choice}")
        (item,) = suite_of(tmp_path, config, row).items
        assert (item.choices, item.right) == (("x", "yy"), 1)
        assert (item.prompt.text, item.continuations) == ("Q: q\nA:", (" x", " yy"))
        assert not item.is_generative


def test_skipped_rows_are_counted_with_the_first_reason(
    tmp_path: Path,
) -> None:
    suite = suite_of(
        tmp_path,
        CHOOSING,
        '{"question": "q", "choices": ["x", "y"], "gold": 2}',
        '{"question": "q", "choices": ["x"], "gold": 0}',
        '{"question": "q", "choices": ["x", "y"], "gold": "z"}',
        '{"choices": ["x", "y"], "gold": 0}',
        '{"question": "\\ud800", "choices": ["x", "y"], "gold": 0}',
        '{"question": "q", "choices": ["x", "y"], "gold": "y"}',
    )

    assert (len(suite.items), suite.skipped, suite.rows) == (1, 5, 6)
    assert suite.first_skipped == "row 1: doc_to_target gives 2, but there are 2 choices"
    assert suite.items[0].right == 1


def test_generation_stops_at_the_tasks_stop_texts_or_the_example_delimiter(
    tmp_path: Path,
) -> None:
    row = '{"question": "q", "answer": "a", "level": 3}'
    (plain,) = suite_of(tmp_path, WRITING, row).items
    ending = WRITING + 'generation_kwargs: {until: [".", "!"], max_gen_toks: 7}\n'
    suite = suite_of(tmp_path, ending, row)

    assert (plain.stops, plain.reference, plain.columns["level"]) == (("\n\n",), "a", 3)
    assert (suite.items[0].stops, suite.max_new_tokens) == ((".", "!"), 7)
    assert suite.measures == ("exact_match",)


def test_few_shot_examples_are_the_first_rows_of_another_split(tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    shots.write_text("".join(f'{{"question": "q{n}", "answer": "a{n}"}}\n' for n in range(3)))
    files = "{data_files: {test: rows.jsonl, train: shots.jsonl}}"
    config = WRITING.replace("{data_files: rows.jsonl}", files)
    config += "fewshot_split: train\nnum_fewshot: 2\nfewshot_config: {sampler: first_n}\n"
    config += 'description: "Answer.\\n\\n"\n'

    (item,) = suite_of(tmp_path, config, '{"question": "q", "answer": "a"}', shots=shots).items

    assert item.prompt.text == "Answer.\n\nq0 a0\n\nq1 a1\n\nq"
    assert any(
        "shares files with the evaluated split" in error
        for error in refusals(config.replace("fewshot_split: train", "fewshot_split: test"))
    )


def test_rows_are_sampled_by_the_seed_in_file_order(tmp_path: Path) -> None:
    rows = [f'{{"question": "q{n}", "answer": "a"}}' for n in range(50)]
    first, again = (suite_of(tmp_path, WRITING, *rows, max_rows=10) for _ in range(2))

    keys = [int(item.key) for item in first.items]
    assert [item.key for item in again.items] == [item.key for item in first.items]
    assert keys == sorted(keys)
    assert len(keys) == 10
    assert drawn(50, 10, 1) != drawn(50, 10, 2)
    assert drawn(5, 10, 1) == set(range(5))


@pytest.mark.parametrize("line", ["[1]", "nonsense", '{"a"', "[" * 100_000])
def test_a_line_that_is_not_a_json_object_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "content"
    file.write_text(f'{{"a": 1}}\n\n{line}\n')

    with pytest.raises(ChildFailure, match="line 3 of content is not a JSON object"):
        list(read_rows([file]))


def test_irrelevant_fields_are_ignored() -> None:
    config: Any = read_config(CHOOSING + "tag: [a]\nmetadata: {version: 1}\nrepeats: 1\n")

    assert config.measures == ("accuracy", "accuracy_norm")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
FIELDS = (
    *("task", "output_type", "dataset_path", "dataset_name", "dataset_kwargs", "test_split"),
    *("fewshot_split", "num_fewshot", "fewshot_config", "doc_to_text", "doc_to_target"),
    *("doc_to_choice", "generation_kwargs", "metric_list", "description", "filter_list"),
    *("target_delimiter", "repeats", "odd"),
)


@settings(deadline=None)
@given(changes=st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1, max_size=4))
def test_any_field_value_is_parsed_or_refused(changes: dict[str, Any]) -> None:
    sound = yaml.safe_load(CHOOSING)
    try:
        config = read_config(yaml.safe_dump(sound | changes, allow_unicode=True))
    except InvalidInputError:
        return
    assert config.name
    assert config.measures
    assert config.data_files


@settings(deadline=None)
@given(st.text())
def test_any_config_is_parsed_or_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        read_config(text)


@settings(deadline=None)
@given(template=st.text("{}%# xq|.()[]'\"+-*/~", max_size=24), value=VALUES)
def test_any_template_renders_or_skips_its_row(template: str, value: Any) -> None:
    row = {"x": value, "q": "text"}
    try:
        found = rendered(template, row)
    except TemplateFailed:
        return
    # A bare name is the value itself, which need not be equal to itself: a number may be none.
    assert found is row[template] if template in row else isinstance(found, str)
