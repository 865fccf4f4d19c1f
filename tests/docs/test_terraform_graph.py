"""terraform-graph.png shows the whole configuration."""

import re
from typing import Final

from zama_ops.local.aws_local import GRAPH_SOURCE
from zama_ops.paths import TERRAFORM

BOX: Final = re.compile(r'^  "([\w.]+)" \[label=<(.+)>\]$', re.MULTILINE)


def listed(label: str) -> set[str]:
    """Return the types in a box: the lines below its title, without their counts."""
    lines = re.sub(r"<[^>]*>", "", label.replace("<br", "\n<br")).replace("\n&#160;", "")
    return {line.partition("\u00a0")[0] for line in lines.split("\n") if line}


def test_each_file_and_each_type_of_resource_is_drawn() -> None:
    """A box for each file with resources lists their types; `make plan` draws new ones."""
    declared = {
        path.name: set(re.findall(r'^resource "aws_(\w+)"', path.read_text(), re.MULTILINE))
        for path in TERRAFORM.glob("*.tf")
    }
    drawn = {
        file: listed(label.partition("</b>")[2])
        for file, label in BOX.findall(GRAPH_SOURCE.read_text())
    }
    assert drawn == {
        name: {kind.replace("_", " ") for kind in types}
        for name, types in declared.items()
        if types
    }
