"""The configuration is formatted and valid, and its own tests pass."""

import re
from pathlib import Path

import pytest

from stack import Report
from terraform import FOLDERS, running_provider, terraform
from zama_ops.local.aws_local import GRAPH_SOURCE, PLANS
from zama_ops.paths import TERRAFORM
from zama_ops.resource_graph import by_file, resources
from zama_ops.terraform import with_backend


def test_it_is_formatted(tmp_path: Path) -> None:
    """`terraform fmt` would change nothing."""
    done = terraform(FOLDERS["service"], tmp_path, "fmt", "-check", "-recursive")
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("name", FOLDERS)
def test_its_own_tests_pass(name: str, provider: dict[str, Path], report: Report) -> None:
    """The configuration is valid, and every run of terraform/**/*.tftest.hcl passes."""
    with running_provider(provider[name]) as environ:
        done = terraform(FOLDERS[name], provider[name], "test", "-no-color", **environ)
    passed = re.search(r"Success! ([1-9]\d*) passed, 0 failed", done.stdout)
    assert passed, done.stdout + done.stderr
    report(f"terraform test in {FOLDERS[name].name}: {passed[1]} runs passed")


def test_the_committed_graph_is_current(provider: dict[str, Path]) -> None:
    """`make plan` would draw the same terraform-graph.png."""
    graph = terraform(TERRAFORM, provider["service"], "graph").stdout
    assert "->" in graph
    drawn = by_file(graph, resources(TERRAFORM), PLANS["minimal"].read_text())
    assert drawn == GRAPH_SOURCE.read_text(), "run `make plan`"


def test_a_deployment_ignores_local_settings(tmp_path: Path) -> None:
    """A terraform.tfvars is left out, and the S3 backend replaces that of an older commit."""
    (tmp_path / "terraform").mkdir()
    (tmp_path / "terraform" / "terraform.tfvars").touch()
    (tmp_path / "terraform" / "older.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    for _ in ("first", "again"):
        service = with_backend(tmp_path / "terraform", tmp_path / "build")
    assert not list(service.glob("*.tfvars"))
    done = terraform(service, tmp_path / "data", "init", "-backend-config=region=?", "-no-color")
    # It asks for the S3 backend's settings.
    assert 'backend "s3"' in done.stderr
    assert "Duplicate backend" not in done.stderr
