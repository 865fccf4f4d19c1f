"""Everything is documented, and only once."""

import re
from collections import Counter
from typing import Final

from conftest import SETTINGS
from zama_api.config import Settings
from zama_ops.paths import ROOT

TABLE: Final = (ROOT / "docs" / "settings.md").read_text()


def test_each_setting_is_described_once() -> None:
    """docs/settings.md has one row for each setting of the entrypoint or the API."""
    rows = Counter(
        name
        for row in re.findall(r"^\| (`.+?) \|", TABLE, re.MULTILINE)
        for name in re.findall(r"`([A-Z_]+)`", row)
    )
    assert rows == Counter(SETTINGS)


def test_the_documented_defaults_apply() -> None:
    """docs/settings.md has the defaults of the entrypoint and the API."""
    stated = {
        name: default
        for names, defaults in re.findall(r"^\| (`.+?) \| (.+?) \|", TABLE, re.MULTILINE)
        for name, default in zip(
            re.findall(r"`(\w+)`", names), re.findall(r"`(.+?)`", defaults), strict=False
        )
    }
    entrypoint = (ROOT / "services/nginx/entrypoint").read_text()
    gateway = dict(re.findall(r"\$\{([A-Z_]+):-([^}]+)\}", entrypoint))
    read = ("HOST", "PORT", "REQUIRE_API_KEY", "READY_DELAY_SECONDS", "DRAIN_SECONDS")
    api = {
        name: str(getattr(Settings(), name.lower())).lower().removesuffix(".0")
        for name in (*read, "LOG_LEVEL", "ACCESS_LOG")
    }
    assert gateway.items() <= stated.items()
    assert api.items() <= stated.items()
    assert len(stated) == len(gateway | api)


def test_the_settings_are_the_variables_that_are_read() -> None:
    """SETTINGS has exactly the environment variables that the API and the gateway read."""
    config = (ROOT / "services/api/src/zama_api/config.py").read_text()
    entrypoint = (ROOT / "services/nginx/entrypoint").read_text()
    metrics = (ROOT / "services/api/src/zama_api/gateway_metrics.py").read_text()
    read = set(re.findall(r'(?:read\(|environ\.get\(|environ\[)"([A-Z_]+)"', config + metrics))
    read |= set(re.findall(r"\$\{([A-Z]+(?:_[A-Z]+)*):[-+]", entrypoint))
    assert read == set(SETTINGS)


def test_each_target_has_a_description() -> None:
    """`make` lists each target with one line."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^\.PHONY: (\S+)$", makefile, re.MULTILINE)
    described = re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)
    assert Counter(described) == Counter(targets)


def test_each_folder_of_tests_has_a_readme() -> None:
    """The README is the folder's contract."""
    folders = {path.parent for path in (ROOT / "tests").glob("*/test_*.py")}
    assert all((folder / "README.md").exists() for folder in folders)


def test_each_decision_is_linked_from_a_page() -> None:
    """A record without a link is hard to find."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"]
    text = "".join(page.read_text() for page in pages)
    records = {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")}
    assert records == {name for name in records if f"decisions/{name}" in text}


def test_each_page_is_in_the_index() -> None:
    """docs/README.md links every page of its folder."""
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages == {name for name in pages if f"]({name})" in index}
