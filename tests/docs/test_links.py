"""Links within the repository work."""

import re
from pathlib import Path
from typing import Final

from checkout import pages
from zama_ops.paths import ROOT

_FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(<?([^)\s>]+)>?\)")
_TEST: Final = re.compile(r"`(?:tests/)?([\w/]+\.py)::(\w+)`")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub generates from a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Return a page's broken links and missing tests, without checking other sites."""
    found = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link) or "/actions/" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    for file, name in _TEST.findall(page.read_text()):
        source = ROOT / "tests" / file
        if not source.exists() or f"\ndef {name}(" not in source.read_text():
            found.append(f"{file}::{name}")
    return found


def test_links_work() -> None:
    """The files, headings and tests that a page names exist."""
    found = {str(page.relative_to(ROOT)): broken(page) for page in pages()}
    assert {page: links for page, links in found.items() if links} == {}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """Missing files, headings and tests are found; code and other sites are ignored."""
    (tmp_path / "other.md").write_text("# One `two`, three\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[1](none.md) [2](other.md#one-two-three) [3](other.md#four) [4](https://example.com/)"
        "\n```\n[5](none)\n```\n"
        "`docs/test_links.py::broken`, `tests/docs/test_links.py::test_none`, `docs/none.py::test`"
    )
    assert broken(page) == [
        *("none.md", "other.md#four", "docs/test_links.py::test_none", "docs/none.py::test")
    ]
