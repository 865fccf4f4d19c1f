"""Published performance figures come from the newest measurement."""

import json

import report as benchmark
from zama_ops.paths import ROOT

NEWEST = max((ROOT / "bench" / "results").glob("*.json"))
RESULT = json.loads(NEWEST.read_text())


def test_the_report_matches_the_result() -> None:
    """Each figure of the newest Markdown report is in its result."""
    assert NEWEST.with_suffix(".md").read_text() == benchmark.markdown(RESULT)


def test_the_readme_has_the_newest_figures() -> None:
    """The README has the table of ratios and links to the rest."""
    readme = (ROOT / "README.md").read_text()
    assert benchmark.ratios(RESULT) in readme
    for suffix in (".md", ".png"):
        assert f"(bench/results/{NEWEST.with_suffix(suffix).name})" in readme
