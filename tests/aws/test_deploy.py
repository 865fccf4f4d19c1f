"""`zama deploy`: that very plan is applied, and what fails its checks is undone."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from checkout import Checkout
from deployment import Deployment
from zama_ops.account import EXAMPLE_KEY, cli_configuration

# Alive and ready, and wrong.
MISCALCULATES: Final = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/healthz": b'{"status":"ok"}', "/readyz": b'{"status":"ready"}'}[self.path]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"sum":41}')
HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""


class Workflow:
    """A commit that is planned and deployed as a workflow does it, to the minimal profile."""

    def __init__(self, deployment: Deployment, path: Path) -> None:
        self.checkout = Checkout.make(path)
        account = deployment.account
        variables = {"tags": {}, "rate_limit": deployment.variables["rate_limit"]}
        self._environ = {
            **account.environ(),
            **cli_configuration(),
            "TF_DATA_DIR": str(path.parent / "terraform"),
            "STATE_BUCKET": account.state_bucket(),
            "TFVARS": "\n".join(f"{key} = {json.dumps(text)}" for key, text in variables.items()),
            "CONNECT_TO": f"127.0.0.1:{account.port}",
            "API_KEY": EXAMPLE_KEY,
            "GITHUB_ACTOR": "a-developer",
        }

    def deploy(self, verb: str, **environ: str) -> tuple[int, str]:
        """Run `zama deploy`; return its exit code and what it printed."""
        done = self.checkout.run("zama", "deploy", verb, **self._environ, **environ)
        return done.returncode, done.stdout + done.stderr

    def built(self, name: str) -> str:
        """Return a file that it has written."""
        return (self.checkout.path / "build" / name).read_text()

    def record(self) -> dict[str, Any]:
        """Return what is noted of the last deploy."""
        record: dict[str, Any] = json.loads(self.built("deployment.json"))
        return record


def test_a_deploy_is_the_saved_plan_or_nothing(minimal: Deployment, tmp_path: Path) -> None:
    """A good version is noted; drift from it is found; one that adds wrongly is rolled back."""
    workflow = Workflow(minimal, tmp_path / "checkout")
    good = str(minimal.variables["image_tag"])

    # Not without a plan, not with another's, not with another commit's.
    assert "There is no plan" in workflow.deploy("apply")[1]
    code, printed = workflow.deploy("plan", IMAGE_TAG=good)
    assert code == 0, printed
    saved = workflow.checkout.path / "build" / "plan" / "tfplan"
    plan = saved.read_bytes()
    saved.write_bytes(plan + b" ")
    assert "not the plan that release.json speaks of" in workflow.deploy("apply")[1]
    saved.write_bytes(plan)
    first = workflow.checkout.git("rev-parse", "HEAD")
    workflow.checkout.git("commit", "--quiet", "--allow-empty", "--message", "Another")
    assert "is checked out" in workflow.deploy("apply")[1]
    workflow.checkout.git("reset", "--quiet", "--hard", first)

    code, printed = workflow.deploy("apply")
    assert code == 0, printed
    record = workflow.record()
    assert (record["outcome"], record["by"]) == ("deployed", "a-developer")
    assert record["release"]["commit"] == first
    assert "stale" in workflow.deploy("apply")[1]

    # Somebody changes something by hand.
    workflow.deploy("drift")
    assert workflow.built("drift.md") == ""
    group = minimal.outputs["log_group_name"]
    minimal.account.client("logs").put_retention_policy(logGroupName=group, retentionInDays=1)
    code, printed = workflow.deploy("drift")
    assert code == 0, printed
    assert "retention_in_days" in workflow.built("drift.md")

    # Its tasks are healthy, so that only the check from outside can find it wrong.
    workflow.checkout.edit("README.md", "adds two integers", "adds two integers wrongly")
    bad = workflow.checkout.commit()
    minimal.publish(bad[:7], ENTRYPOINT=json.dumps(["python3", "-c", MISCALCULATES]))
    assert workflow.deploy("plan")[0] == 0
    code, printed = workflow.deploy("apply")
    assert code == 1
    record = workflow.record()
    assert record["release"]["commit"] == bad
    assert record["outcome"] == f"rolled back to {good}", printed
    assert any("POST /sum: the sum" in line for line in record["found"])
    assert minimal.sum().json() == {"sum": 42}
    assert minimal.get("/healthz").json()["version"] == good


@pytest.mark.parametrize(
    ("verb", "missing"),
    [("apply", "STATE_BUCKET"), ("plan", "STATE_BUCKET"), ("drift", "STATE_BUCKET")],
)
def test_a_missing_setting_is_named(tmp_path: Path, verb: str, missing: str) -> None:
    """Before anything is begun."""
    checkout = Checkout.make(tmp_path / "checkout")
    done = checkout.run("zama", "deploy", verb, COLUMNS="200")
    assert done.returncode == 2
    assert missing in done.stderr
