"""Draws Terraform's resource graph with one box for each file of the configuration."""

import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Final

# As in docs/arch_diagram.py.
_BOTH, _PRODUCTION = "#1e293b", "#b45309"
_LEGEND: Final = (
    "Each box is a file in terraform/. Arrows point to dependencies."
    f'<br/>Black: both profiles. <font color="{_PRODUCTION}">Orange: not in the minimal'
    " profile.</font>"
)
_LOOK: Final = f"""\
  graph [bgcolor=white dpi=150 pad=0.1 nodesep=0.15 ranksep=0.3 labelloc=t label=<{_LEGEND}>]
  graph [fontname="DejaVu Sans Condensed" fontcolor="{_BOTH}" fontsize=13]
  node [fontname="DejaVu Sans Condensed" fontsize=12 shape=plain]
  edge [color="#64748b" penwidth=1.2 arrowsize=0.7]
"""
_COLUMNS: Final = 27


def resources(folder: Path) -> dict[str, str]:
    """Return the file's name for the address of each resource in a folder."""
    return {
        f"{kind}.{name}": path.name
        for path in sorted(folder.glob("*.tf"))
        for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', path.read_text(), re.MULTILINE)
    }


def by_file(graph: str, files: Mapping[str, str], minimal_plan: str) -> str:
    """Return the graph with one node for each file, in Graphviz's language.

    Arguments:
        graph: printed by `terraform graph`.
        files: the result of `resources`.
        minimal_plan: the minimal profile's plan, as text. It decides the colours.

    """
    needs = defaultdict(set)
    for source, target in re.findall(r'"([^"]+)" -> "([^"]+)"', graph):
        needs[source].add(target)

    def targets(address: str) -> Iterator[str]:
        """Yield the resources that one needs, directly or through data sources."""
        for target in needs[address]:
            if target in files:
                yield target
            else:
                yield from targets(target)

    edges = {
        f'  "{file}" -> "{files[target]}"\n'
        for address, file in files.items()
        for target in targets(address)
        if files[target] != file
    }
    boxes = (_box(file, files, minimal_plan) for file in sorted(set(files.values())))
    return "".join(["digraph {\n", _LOOK, *boxes, *sorted(edges), "}\n"])


def _box(file: str, files: Mapping[str, str], minimal_plan: str) -> str:
    """Return a node that lists the resource types of a file."""
    addresses = [address for address, home in files.items() if home == file]
    counts = Counter(address.partition(".")[0] for address in addresses)
    in_both = {a.partition(".")[0] for a in addresses if f"  # {a}" in minimal_plan}
    colour = _BOTH if in_both else _PRODUCTION
    rows = [
        f'<font color="{_BOTH if kind in in_both else _PRODUCTION}">{line}</font><br align="left"/>'
        for kind, count in counts.items()
        for line in _lines(kind, count)
    ]
    head = f'<tr><td bgcolor="{colour}"><font color="white"><b>{file}</b></font></td></tr>'
    body = f'<tr><td balign="left">{"".join(rows)}</td></tr>'
    frame = f'color="{colour}" cellborder="0" cellspacing="0" cellpadding="4"'
    return f'  "{file}" [label=<<table {frame}>{head}{body}</table>>]\n'


def _lines(kind: str, count: int) -> list[str]:
    """Return the wrapped lines of a type in words, such as `lb listener`, with its count."""
    times = f"\u00a0\u00d7{count}" if count > 1 else ""
    text = kind.removeprefix("aws_").replace("_", " ") + times
    return "\n&#160; ".join(wrap(text, _COLUMNS)).splitlines()


def draw(graph: Path, picture: Path) -> None:
    """Draw a graph without the edges that follow from others."""
    reduced = subprocess.run(["tred", str(graph)], capture_output=True, text=True, check=True)
    subprocess.run(["dot", "-Tpng", f"-o{picture}"], input=reduced.stdout, text=True, check=True)
