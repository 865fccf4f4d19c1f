"""Published performance figures come from the newest measurement."""

import json
import re
from typing import Final

import pytest

import report as benchmark
from zama_ops.paths import ROOT

README: Final = (ROOT / "README.md").read_text()
RESULTS: Final = sorted((ROOT / "bench" / "results").glob("*.json"))


@pytest.mark.parametrize("suffix", [".md", ".png"])
def test_the_readme_links_to_the_newest_report(suffix: str) -> None:
    """Without any result, the README has no link to a report."""
    linked = re.findall(rf"\(bench/results/(\S+{suffix})\)", README)
    assert linked == [path.with_suffix(suffix).name for path in RESULTS[-1:]]


def test_the_readme_has_the_newest_figures() -> None:
    """The README has the table of ratios, or none without a result."""
    tables = re.findall(r"^\|  \| median of paired rounds .*(?:\n\|.*)+", README, re.MULTILINE)
    assert tables == [benchmark.ratios(json.loads(path.read_text())) for path in RESULTS[-1:]]


def test_the_report_matches_the_result() -> None:
    """Each figure of the newest Markdown report is in its result."""
    for path in RESULTS[-1:]:
        assert path.with_suffix(".md").read_text() == benchmark.markdown(
            json.loads(path.read_text())
        )
