"""The prose rules judge their examples."""

from pathlib import Path

import pytest
import yaml
from relint.config import load_config
from relint.parse import lint_file

CONFIG = Path(__file__).parents[2] / ".relint.yml"
RULES = list(load_config(CONFIG, fail_warnings=True, ignore_warnings=False))
EXAMPLES = {rule["name"]: rule for rule in yaml.safe_load(CONFIG.read_text())}


def found(text: str, folder: Path) -> list[tuple[int, str]]:
    """Return the line and the rule of each finding in a Markdown page of one paragraph."""
    page = folder / "page.md"
    page.write_text(f"# Page\n\n{text}\n", encoding="utf-8")
    return [(line, rule.name) for _, rule, _, line in lint_file(str(page), RULES)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rule_refuses_its_bad_example(name: str, tmp_path: Path) -> None:
    """Each rule, and no other, finds its bad example; no rule finds its good example."""
    assert {rule for _, rule in found(EXAMPLES[name]["bad"], tmp_path)} == {name}
    assert not found(EXAMPLES[name]["good"], tmp_path)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_line_can_be_excepted(name: str, tmp_path: Path) -> None:
    """No rule applies to a line that gives a reason."""
    assert not found(f"{EXAMPLES[name]['bad']} <!-- prose: an example -->", tmp_path)
