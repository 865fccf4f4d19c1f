"""CONTRIBUTING.md's steps work in a copy of the repository."""

import re
import textwrap
from pathlib import Path

import pytest
import yaml

from checkout import Checkout
from zama_ops.paths import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout.make(tmp_path / "copy")


def test_an_operation_is_added_as_described(checkout: Checkout) -> None:
    """With the function, its table entry, the contract and the route, all checks pass."""
    steps = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"^ *```python\n(.*?)^ *```$", steps, re.MULTILINE | re.DOTALL)
    assert block
    operations = checkout.path / "services/api/src/zama_api/operations.py"
    table = re.search(r"^OPERATIONS: .*?^\}\n", operations.read_text(), re.MULTILINE | re.DOTALL)
    assert table
    checkout.edit(str(operations), table[0], textwrap.dedent(block[1]))

    contract = checkout.path / "services/api/openapi.yaml"
    contents = yaml.safe_load(contract.read_text())
    path = yaml.safe_load(yaml.safe_dump(contents["paths"]["/sum"]).replace("/Sum", "/Difference"))
    answer = path["post"]["responses"]["200"]["content"]["application/json"]
    answer["examples"] = {"small": {"value": {"difference": -38}}}
    path["post"]["operationId"] = "postDifference"
    contents["paths"]["/difference"] = path
    contents["components"]["schemas"]["Difference"] = {
        "type": "object",
        "required": ["difference"],
        "properties": {"difference": {"type": "integer"}},
    }
    contract.write_text(yaml.safe_dump(contents, sort_keys=False))
    checkout.edit("services/nginx/includes/metrics.conf", "readyz|sum|", "readyz|sum|difference|")

    for command in (
        ["make", "openapi"],
        [".venv/bin/ruff", "check"],
        [".venv/bin/pytest", "-q", "tests/repo/test_contract.py", "-k", "operation or serves"],
    ):
        done = checkout.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
