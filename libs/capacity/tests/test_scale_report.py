"""The report at scale is what the model says now, and its plots stand alone."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from modelmill_capacity.measurements import Measurements
from modelmill_capacity.plots import Curve, Plot
from modelmill_capacity.scale_report import write

DOCS = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.tier("test")
def test_the_page_and_its_plots_are_those_that_the_model_makes(tmp_path: Path):
    """To mend it: python -m modelmill_capacity.scale_report docs/reference."""
    write(tmp_path, Measurements.load())
    made = {file.name: file.read_text("utf-8") for file in tmp_path.iterdir()}

    assert made == {name: (DOCS / name).read_text("utf-8") for name in made}
    assert len(made) == 5


def test_a_plot_is_a_document_of_its_own_with_what_is_not_validated_in_grey():
    curves = (Curve("a <b>", [(0.0, 1.0), (2.0, 3.0)]), Curve("c", [(0.0, 2.0), (2.0, 0.5)]))
    text = Plot("title", "x", "y", curves, shaded_from=1.0, shade="not validated").svg()
    document = ElementTree.fromstring(text)

    assert document.tag.endswith("svg")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    shown = [it.text for it in document.iter() if it.tag.endswith("text")]
    assert {"a <b>", "c", "title", "x", "y", "not validated", "0", "2"} <= set(shown)
    (grey,) = (it for it in document.iter() if it.get("class") == "unmarked")
    # From the middle of the axis to its end.
    assert float(grey.get("x", "")) - 64 == pytest.approx(float(grey.get("width", "")))
