"""Links within the repository lead somewhere."""

import re
from pathlib import Path
from typing import Final

import pytest

from checkout import pages
from stack import ROOT

_FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(<?([^)\s>]+)>?\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere; other sites are not asked."""
    found = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link) or "/actions/" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Files are there, and so are the headings."""
    assert not broken(page)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A missing file, a missing heading; neither code nor other sites."""
    (tmp_path / "other.md").write_text("# One `two`, three\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[1](none.md) [2](other.md#one-two-three) [3](other.md#four) [4](https://example.com/)"
        "\n```\n[5](none)\n```\n"
    )
    assert broken(page) == ["none.md", "other.md#four"]
