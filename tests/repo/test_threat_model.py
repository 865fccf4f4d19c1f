"""The threat model covers every kind of threat, and a test covers each row."""

import re
from typing import Final

from zama_ops.paths import ROOT

PAGE: Final = (ROOT / "docs" / "threat-model.md").read_text()


def test_both_parts_cover_every_kind_of_threat() -> None:
    """The request and the deployment have a row with a test for each of STRIDE's six kinds."""
    for part in PAGE.split("\n## The ")[1:]:
        rows = re.findall(r"^\| ([STRIDE]) \| (.*)$", part, re.MULTILINE)
        assert {kind for kind, _ in rows} == set("STRIDE"), part.partition("\n")[0]
        # tests/docs/test_links.py checks that the tests exist.
        assert [row for _, row in rows if not re.search(r" \| `[^|]+::[^|]+` \|$", row)] == []
