"""The threat model: no kind of threat is forgotten, and each is answered."""

import re
from typing import Final

from zama_ops.paths import ROOT

PAGE: Final = (ROOT / "docs" / "threat-model.md").read_text()


def test_both_ways_meet_every_kind_of_threat() -> None:
    """Each of STRIDE's six has a row on the request's and the deploy's way, held by a test."""
    for part in PAGE.split("\n## The ")[1:]:
        rows = re.findall(r"^\| ([STRIDE]) \| (.*)$", part, re.MULTILINE)
        assert {kind for kind, _ in rows} == set("STRIDE"), part.partition("\n")[0]
        # That the tests are there is for docs/test_links.py to say.
        assert [row for _, row in rows if not re.search(r" \| `[^|]+::[^|]+` \|$", row)] == []
