"""arch_diagram.png shows the options of the profiles."""

import ast
import re
from typing import Final

import pytest

from zama_ops.paths import ROOT

TERRAFORM: Final = ROOT / "terraform"
PROFILES: Final = ("minimal", "production")
SCRIPT: Final = ast.parse((ROOT / "docs" / "arch_diagram.py").read_text())


def labels() -> dict[str, tuple[str, str]]:
    """Return the script's table without importing the script's dependency."""
    (table,) = (
        node.value
        for node in SCRIPT.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == "OPTIONS"
        and node.value
    )
    return dict(ast.literal_eval(table))


def chosen(profile: str) -> dict[str, str]:
    """Return a profile's settings as they are written."""
    text = (TERRAFORM / "profiles" / f"{profile}.tfvars").read_text()
    return dict(re.findall(r"^(\w+) += (.+)$", text, re.MULTILINE))


def defaults() -> dict[str, str]:
    text = (TERRAFORM / "variables.tf").read_text()
    return {
        name: default[1]
        for name, body in re.findall(
            r'^variable "(\w+)" \{$(.+?)^\}$', text, re.MULTILINE | re.DOTALL
        )
        if (default := re.search(r"^  default += (.+)$", body, re.MULTILINE))
    }


def test_each_option_of_the_profiles_is_drawn() -> None:
    """A new option needs a label and a place in the diagram."""
    drawn = {
        argument.value
        for call in ast.walk(SCRIPT)
        if isinstance(call, ast.Call)
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }
    names = set().union(*map(chosen, PROFILES))
    assert names == set(labels())
    assert names <= drawn


@pytest.mark.parametrize("profile", PROFILES)
def test_the_labels_match_the_profile(profile: str) -> None:
    """Enabled options have a label, production enables all, and numbers match the profile."""
    values = defaults() | chosen(profile)
    for name, label in labels().items():
        said = label[PROFILES.index(profile)]
        assert said or values[name] in {"false", "null"}, name
        assert set(re.findall(r"\b\d+\b", said)) <= set(re.findall(r"\d+", values[name])), name
    assert profile == "minimal" or not {"false", "null"} & set(chosen(profile).values())
