"""The threat model: every mitigation is held by a test that there is."""

import re
from typing import Final

from stack import ROOT

PAGE: Final = (ROOT / "docs" / "threat-model.md").read_text()


def test_every_mitigation_is_held_by_a_test() -> None:
    """By one at least, under its present name."""
    rows = re.findall(r"^\| [STRIDE] \| (.*?) \| .*? \| (.*?) \|$", PAGE, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| [STRIDE] \|", PAGE, re.MULTILINE))
    for threat, tests in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert named, threat
        for file, name in named:
            source = (ROOT / "tests" / file).read_text()
            assert re.search(rf"^def {name}\(", source, re.MULTILINE), f"{file}::{name}"


def test_both_ways_meet_every_kind_of_threat() -> None:
    """None of STRIDE's six was forgotten on the request's or the deploy's way."""
    for part in PAGE.split("\n## The ")[1:]:
        kinds = set(re.findall(r"^\| ([STRIDE]) \|", part, re.MULTILINE))
        assert kinds == set("STRIDE"), part.partition("\n")[0]
