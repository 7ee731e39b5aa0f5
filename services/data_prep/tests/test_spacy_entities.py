"""Names by spaCy pipelines: only installed ones, and only those of spaCy's makers."""

import subprocess
import sys
from pathlib import Path

import pytest
from modelmill_data_prep.adapters.installed_pipelines import check_models
from modelmill_data_prep.adapters.spacy_pipelines import SpacyEntityFinder, import_spacy
from modelmill_data_prep.domain.entities.entity_plan import Span
from modelmill_service_kit.errors import InvalidInputError


def install(folder: Path, name: str, author: str) -> None:
    """A package as spaCy's are, with a pipeline that knows two names and no model."""
    nlp = import_spacy().blank(name[:2])
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns(
        [
            {"label": "PERSON", "pattern": "Ada Byron"},
            {"label": "ORG", "pattern": "Acme"},
            {"label": "ORG", "pattern": [{"TEXT": "["}, {"TEXT": "EMAIL"}, {"TEXT": "]"}]},
        ]
    )
    package = folder / name
    package.mkdir()
    nlp.to_disk(package / "data")
    (package / "__init__.py").write_text(
        "from pathlib import Path\nimport spacy\n"
        "def load(**settings):\n    return spacy.load(Path(__file__).parent / 'data', **settings)\n"
    )
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nAuthor: {author}\n"
    )


@pytest.mark.heavy
def test_a_pipeline_of_spacys_makers_finds_names_and_leaves_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "en_test_names", "Explosion")
    monkeypatch.syspath_prepend(tmp_path)
    find = SpacyEntityFinder({"en": "en_test_names"})

    assert find(["Ada Byron worked for Acme.", "Acme 在这里工作很好", "[EMAIL] of Ada Byron"]) == [
        [Span("person", 0, 9), Span("organisation", 21, 25)],
        [],
        [Span("person", 11, 20)],
    ]


@pytest.mark.heavy
def test_a_pipeline_of_others_is_refused_before_its_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "en_evil_names", "Somebody")
    (tmp_path / "en_evil_names" / "__init__.py").write_text("raise SystemExit(1)")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(InvalidInputError, match="spaCy's makers"):
        SpacyEntityFinder({"en": "en_evil_names"})


def test_pipelines_that_are_not_there_are_refused_all_at_once() -> None:
    with pytest.raises(InvalidInputError) as refusal:
        check_models({"zh": "zh_core_nowhere", "en": "../model"})

    assert refusal.value.errors == [
        "entities: spaCy pipeline 'zh_core_nowhere' is not installed where data-prep runs."
        " `python -m spacy download zh_core_nowhere` installs it",
        "entities: spaCy pipeline '../model' is no name of a package, such as en_core_web_sm",
    ]


def test_naming_a_pipeline_loads_nothing() -> None:
    code = (
        "import sys, modelmill_data_prep.adapters.spacy_pipelines, "
        "modelmill_data_prep.pipeline.worker_parts\n"
        "print([name for name in ('spacy', 'opencc', 'torch') if name in sys.modules])"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
