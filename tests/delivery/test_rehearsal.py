"""The pipeline from commit to tested deployment, and the step that stops a broken commit."""

import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from checkout import Checkout
from stack import Report
from zama_ops import workflow
from zama_ops.keyring import Key

pytestmark = [pytest.mark.needs("docker", "terraform"), pytest.mark.timeout(600)]

# A real vulnerability of PyYAML: https://osv.dev/vulnerability/GHSA-8q59-q68h-6hv4
ADVISORY: Final = {
    "id": "GHSA-8q59-q68h-6hv4",
    "modified": "2024-10-21T21:14:30Z",
    "summary": "Improper Input Validation in PyYAML",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "pyyaml"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.4"}]}],
        }
    ],
}
# In the format of README.md's first key.
SETTING: Final = "TF_VAR_api_key_value=default=" + 4 * "3f9c0a1b5e7d2c46"

# A job that calls a workflow has no steps.
PROVENANCE: Final = ("provenance", "provenance.yml")

# The exit code, and the result of each step.
Rehearsed = tuple[int, list[dict[str, Any]]]


@contextmanager
def advisories() -> Iterator[str]:
    """Serve a local copy of api.osv.dev that knows one vulnerability."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = (query["package"]["name"], query["version"]) == ("pyyaml", "5.3.1")
            body = json.dumps({"vulns": [ADVISORY]} if known else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def narrowed(tests: str, osv_url: str, profiles: str = "") -> dict[str, str]:
    """Return an environment that limits a step to a few tests, or to these profiles.

    By default no profile, because `make lint` checks both of an unchanged configuration.
    """
    options = f"--no-cov -W ignore::pytest_cov.CovDisabledWarning --exitfirst -k '{tests}'"
    # So few tests need only one process.
    steps = {"PYTEST_ADDOPTS": options, "BESIDE": "", "CHECKED_PROFILES": profiles}
    return {**steps, "OSV_URL": osv_url, "COLUMNS": "200"}


def rehearse(checkout: Checkout, tests: str, *options: str) -> Rehearsed:
    with advisories() as url:
        done = checkout.run("zama", "rehearse", "--json", *options, **narrowed(tests, url))
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def good(
    bootstrapped: Future[Path], own_images: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Checkout, Future[Rehearsed]]]:
    """Start to rehearse a good commit, which mostly waits, while the broken ones are tested."""
    del own_images
    checkout = Checkout.make(tmp_path_factory.mktemp("good") / "checkout")
    # The checkouts share one environment, so install missing packages first.
    done = checkout.run("make", "setup")
    assert done.returncode == 0, done.stdout + done.stderr
    with ThreadPoolExecutor() as pool:
        account = f"--account={bootstrapped.result()}"
        yield checkout, pool.submit(rehearse, checkout, "test_health or test_contract", account)


def a_failing_test(checkout: Checkout) -> None:
    checkout.edit("services/api/src/zama_api/operations.py", ".a + ", ".a - ")


def an_unpinned_dependency(checkout: Checkout) -> None:
    with (checkout.path / "requirements-all.txt").open("a") as file:
        file.write("django>=5\n")


def a_vulnerable_dependency(checkout: Checkout) -> None:
    path = checkout.path / "terraform" / "requirements.txt"
    path.write_text(re.sub(r"(?m)^pyyaml==\S+", "pyyaml==5.3.1", path.read_text()))


def a_container_of_root(checkout: Checkout) -> None:
    checkout.edit("services/api/Dockerfile", "USER 10001:10001", "USER root")


def an_open_security_group(checkout: Checkout) -> None:
    with (checkout.path / "terraform" / "security_groups.tf").open("a") as file:
        file.write(
            """
resource "aws_vpc_security_group_ingress_rule" "tasks_from_anywhere" {
  security_group_id = aws_security_group.tasks.id
  description       = "For a quick look"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
}
"""
        )


def an_unpinned_action(checkout: Checkout) -> None:
    path = checkout.path / ".github" / "workflows" / "drift.yml"
    text = path.read_text()
    (pinned,) = (line for line in text.splitlines() if "actions/checkout@" in line)
    checkout.edit(".github/workflows/drift.yml", pinned, "        uses: actions/checkout@v7")


def a_leaked_key(checkout: Checkout) -> None:
    """Commit a key and remove it in the next commit; the history keeps it."""
    _leak(checkout, f"Use {Key.issue('acme').secret} for now.")


def a_leaked_setting(checkout: Checkout) -> None:
    _leak(checkout, SETTING)


def _leak(checkout: Checkout, text: str) -> None:
    leaked = checkout.path / "deploy.env"
    leaked.write_text(text)
    checkout.commit()
    leaked.unlink()


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize(
    ("break_it", "name", "finding"),
    [
        (a_failing_test, "Test", "FAILED"),
        (
            a_vulnerable_dependency,
            "Scan dependencies for known vulnerabilities",
            "GHSA-8q59-q68h-6hv4",
        ),
        (a_container_of_root, "Check the Dockerfiles", "DL3002"),
        (an_open_security_group, "Check Terraform against the policies", "CKV_AWS_24"),
        (an_unpinned_action, "Check the workflows", "unpinned-uses"),
        (a_leaked_key, "Scan the history for secrets", "deploy.env"),
        (a_leaked_setting, "Scan the history for secrets", "deploy.env"),
    ],
)
def test_a_broken_commit_is_stopped(
    tmp_path: Path, break_it: Callable[[Checkout], None], name: str, finding: str
) -> None:
    """The responsible step fails and names its finding without showing a key."""
    checkout = Checkout.make(tmp_path / "checkout")
    break_it(checkout)
    checkout.commit()
    ((job, step),) = (
        (job, step)
        for job in workflow.jobs(checkout.path / ".github" / "workflows" / "ci.yml")
        for step in job.steps
        if (job.name, step.name) == ("build-test", name)
    )
    given = {**job.environ, **step.environ}
    environ = {key: workflow.fill_in(text, {}) for key, text in given.items()}
    # The same shell as in the rehearsal and on GitHub.
    command = ("bash", "-e", "-o", "pipefail", "-c", step.run)
    with advisories() as url:
        done = checkout.run(
            *command, **environ, **narrowed("two_numbers_are_added", url, "minimal")
        )
    printed = done.stdout + done.stderr
    assert done.returncode != 0, printed
    assert finding in printed
    assert not re.search(r"zama_\d{6}_\w{49}|3f9c0a1b5e7d2c46", printed)


@pytest.mark.usefixtures("good")
def test_a_failed_step_ends_the_rehearsal(tmp_path: Path) -> None:
    """The rehearsal of a broken commit stops at that step and names the finding."""
    checkout = Checkout.make(tmp_path / "checkout")
    an_unpinned_dependency(checkout)
    checkout.commit()
    code, results = rehearse(checkout, "two_numbers_are_added")
    assert code == 1
    (result,) = results
    assert (result["outcome"], result["step"]) == ("failed", "Install the locked dependencies")
    assert "django>=5" in result["detail"]


def test_a_good_commit_is_deployed(
    good: tuple[Checkout, Future[Rehearsed]], report: Report
) -> None:
    """Every step of ci.yml and deploy.yml passes in order, unless only GitHub can run it."""
    checkout, rehearsal = good
    code, results = rehearsal.result()
    assert code == 0, results[-1]
    walked = [
        (job.name, step.name)
        for name in ("ci.yml", "deploy.yml")
        for job in workflow.jobs(workflow.WORKFLOWS / name)
        for step in job.steps
        if step.run and not {"pull_request", "outcome"} & set(re.findall(r"\w+", step.condition))
        if "pull_request" not in job.condition
    ]
    walked.insert(walked.index(("publish", "Tag the images with their commit")), PROVENANCE)
    assert [(result["job"], result["step"]) for result in results] == walked
    left_out = {result["step"] for result in results if result["outcome"] == "left out"}
    assert left_out <= {
        "Install Debian's packages",
        "Check that the scheduled workflows still run",
        "Test everything",
        "Scan the images for high and critical vulnerabilities",
        "Sign the images and the SBOMs",
        "provenance.yml",
        "Tag the images with their commit",
        "Find the commit's plan",
        "Verify the images' signatures and provenance",
    }
    with zipfile.ZipFile(checkout.path / "build" / "plan" / "tfplan") as plan:
        parts = {name: plan.read(name) for name in plan.namelist()}
    assert b"rate_limit" in parts["tfplan"]
    assert not [name for name, data in parts.items() if b"=CHANGEME" in data]
    record = json.loads((checkout.path / "build" / "deployment.json").read_text())
    assert record["outcome"] == "deployed"
    assert record["release"]["commit"] == checkout.git("rev-parse", "HEAD")
    parts = json.loads((checkout.path / "build" / "zama-api.cdx.json").read_text())
    assert "uvloop" in {part["name"] for part in parts["components"]}
    report(f"rehearsal: {sum(result['seconds'] for result in results):.0f} s")
