"""`zama deploy` applies exactly the saved plan, and rolls back a release that fails its checks."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from checkout import Checkout
from deployment import Deployment
from standins import StandIns
from zama_ops.container_images import digest, keep
from zama_ops.contract_checks import EXAMPLE_KEY
from zama_ops.terraform import cli_configuration

# Live and ready, with wrong results.
MISCALCULATES: Final = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
ALIVE = json.dumps({"status": "ok", "version": os.environ["VERSION"]}).encode()
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/healthz": ALIVE, "/readyz": b'{"status":"ready"}'}[self.path]
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
    """A commit that is planned and deployed to the minimal profile, as by a workflow."""

    def __init__(self, deployment: Deployment, path: Path) -> None:
        self.checkout = Checkout.make(path)
        account = deployment.account
        # The image tag of a site's file has no effect.
        variables = {"image_tag": "stale", "rate_limit": deployment.variables["rate_limit"]}
        self.environ = {
            **account.workflow_environ(),
            **cli_configuration(),
            "TF_DATA_DIR": str(path.parent / "terraform"),
            "STATE_BUCKET": account.state_bucket(),
            "TFVARS": "\n".join(f"{key} = {json.dumps(text)}" for key, text in variables.items()),
            "CONNECT_TO": f"127.0.0.1:{account.port}",
            "API_KEY": EXAMPLE_KEY,
            "GITHUB_ACTOR": "a-developer",
        }

    def zama(self, *words: str, **environ: str) -> tuple[int, str]:
        done = self.checkout.run("zama", *words, **self.environ, **environ)
        return done.returncode, done.stdout + done.stderr

    def built(self, name: str) -> str:
        return (self.checkout.path / "build" / name).read_text()

    def record(self) -> Any:
        return json.loads(self.built("deployment.json"))


@contextlib.contextmanager
def locked(deployment: Deployment) -> Iterator[None]:
    """Hold the state's lock during the block, as another run of Terraform would."""
    s3 = deployment.account.client("s3")
    lock = {
        "Bucket": deployment.account.state_bucket(),
        "Key": "service/terraform.tfstate.tflock",
    }
    s3.put_object(**lock, Body=json.dumps({"ID": "1", "Operation": "OperationTypeApply"}).encode())
    yield
    s3.delete_object(**lock)


def assert_harmless(deployment: Deployment, workflow: Workflow) -> None:
    """Assert that a stale plan and a locked state change nothing, and are recorded."""
    running = deployment.service()["taskDefinition"]
    code, printed = workflow.zama("deploy", "apply")
    assert (code, "stale" in printed) == (1, True)
    assert workflow.record()["outcome"] == "nothing was changed"
    assert workflow.zama("deploy", "plan")[0] == 0
    with locked(deployment):
        code, printed = workflow.zama("deploy", "apply", LOCK_TIMEOUT="1s")
    assert (code, "Error acquiring the state lock" in printed) == (1, True)
    assert workflow.record()["outcome"] == "nothing was changed"
    assert deployment.service()["taskDefinition"] == running


def test_a_deployment_applies_the_saved_plan_or_nothing(
    minimal: Deployment, tmp_path: Path
) -> None:
    """A good release is recorded, drift is found, and a wrong release is rolled back."""
    workflow = Workflow(minimal, tmp_path / "checkout")
    first = workflow.checkout.git("rev-parse", "HEAD")
    good = first[:7]
    minimal.publish(good)
    minimal.variables["image_tag"] = good

    # A missing plan, a changed plan and another commit's plan are refused.
    assert "There is no plan" in workflow.zama("deploy", "apply")[1]
    code, printed = workflow.zama("deploy", "plan")
    assert code == 0, printed
    saved = workflow.checkout.path / "build" / "plan" / "tfplan"
    plan = saved.read_bytes()
    saved.write_bytes(plan + b" ")
    assert "does not match the checksum in release.json" in workflow.zama("deploy", "apply")[1]
    saved.write_bytes(plan)
    workflow.checkout.git("commit", "--quiet", "--allow-empty", "--message", "Another")
    assert "is checked out" in workflow.zama("deploy", "apply")[1]
    workflow.checkout.git("reset", "--quiet", "--hard", first)

    code, printed = workflow.zama("deploy", "apply")
    assert code == 0, printed
    record = workflow.record()
    assert (record["outcome"], record["by"]) == ("deployed", "a-developer")
    assert record["release"]["commit"] == first
    assert_harmless(minimal, workflow)

    # A manual change is drift. (The emulator causes some drift: see test_profiles.py.)
    workflow.zama("drift", "find")
    assert "retention_in_days" not in workflow.built("drift.md")
    group = minimal.outputs["log_group_name"]
    minimal.account.client("logs").put_retention_policy(logGroupName=group, retentionInDays=1)
    code, printed = workflow.zama("drift", "find")
    assert code == 0, printed
    assert "retention_in_days" in workflow.built("drift.md")

    # Its tasks are healthy, so only the smoke test can find the fault.
    workflow.checkout.edit("README.md", "adds two integers", "adds two integers wrongly")
    bad = workflow.checkout.commit()
    minimal.publish(bad[:7], ENTRYPOINT=json.dumps(["python3", "-c", MISCALCULATES]))
    assert workflow.zama("deploy", "plan")[0] == 0
    code, printed = workflow.zama("deploy", "apply")
    assert code == 1
    record = workflow.record()
    assert record["release"]["commit"] == bad
    assert record["outcome"] == f"rolled back to {good}", printed
    assert any("POST /sum: the sum" in line for line in record["faults"])
    assert minimal.sum().json() == {"sum": 42}
    assert minimal.get("/healthz").json()["version"] == good


@pytest.mark.parametrize("words", [("deploy", "apply"), ("deploy", "plan"), ("drift", "find")])
def test_a_missing_setting_is_named(tmp_path: Path, words: tuple[str, str]) -> None:
    """A missing setting is reported before anything starts."""
    checkout = Checkout.make(tmp_path / "checkout")
    done = checkout.run("zama", *words, COLUMNS="200")
    assert done.returncode == 2
    assert "STATE_BUCKET" in done.stderr


def test_only_images_signed_by_the_workflow_on_main_are_deployed(
    minimal: Deployment, tmp_path: Path
) -> None:
    """Each digest's signature, SBOM and provenance are verified; a failure stops the deployment."""
    workflow = Workflow(minimal, tmp_path / "checkout")
    programs = StandIns(tmp_path / "bin", workflow.checkout)
    digests = {name: f"sha256:{64 * letter}" for name, letter in (("api", "a"), ("nginx", "b"))}
    code, printed = workflow.zama("deploy", "plan", IMAGE_DIGESTS=json.dumps(digests))
    assert code == 0, printed
    assert f"zama-api@{digests['api']}" in workflow.built("plan/plan.txt")

    here = {**workflow.environ, "GITHUB_REPOSITORY": "example/zama-challenge"}
    code, said, called = programs.zama("deploy", "verify", **here)
    assert code == 0, said
    commit = workflow.checkout.git("rev-parse", "HEAD")
    urls = {name: minimal.outputs[f"ecr_{name}_repo_url"] for name in digests}
    signer = "example/zama-challenge/.github/workflows/ci.yml"
    for name, url in urls.items():
        image = f"{url}@{digests[name]}"
        about = [call for call in called if image in call]
        assert [call.split()[:2] for call in about] == [
            ["cosign", "verify"],
            ["cosign", "verify-attestation"],
            ["gh", "attestation"],
        ]
        for call in about[:2]:
            assert f"--certificate-identity=https://github.com/{signer}@refs/heads/main" in call
        assert f"--signer-workflow {signer}" in about[2]
        assert f"--source-ref refs/heads/main --source-digest {commit}" in about[2]
    programs.exit_with("cosign", 1)
    code, said, _ = programs.zama("deploy", "verify", **here)
    assert code == 1
    assert "refused" in said

    # An image that the registry does not have cannot be kept, and is not deployed.
    code, said = workflow.zama("deploy", "apply")
    assert (code, f"ECR has no zama-api@{digests['api']}" in said) == (1, True), said


def test_deployed_images_are_kept(minimal: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have a tag that a lifecycle rule keeps, also after a second deployment."""
    for name, value in minimal.account.environ().items():
        monkeypatch.setenv(name, value)
    ecr = minimal.account.client("ecr")
    digests = {}
    for name in ("api", "nginx"):
        manifest = json.dumps({"schemaVersion": 2, "annotations": {"kept": name}})
        pushed = ecr.put_image(repositoryName=f"zama-{name}", imageManifest=manifest)["image"]
        digests[name] = pushed["imageId"]["imageDigest"]
    for _ in ("first", "again"):
        keep(digests, "5e1f2a3")
    assert {name: digest(name, "deployed-5e1f2a3") for name in digests} == digests
    policy = ecr.get_lifecycle_policy(repositoryName="zama-api")["lifecyclePolicyText"]
    first = min(json.loads(policy)["rules"], key=lambda rule: int(rule["rulePriority"]))
    assert first["selection"]["tagPrefixList"] == ["deployed-"]


def test_an_existing_tag_is_not_pushed_again(minimal: Deployment, tmp_path: Path) -> None:
    """Existing images have been scanned; missing ones are pushed under the commit's tag."""
    workflow = Workflow(minimal, tmp_path / "checkout")
    programs = StandIns(tmp_path / "bin", workflow.checkout)
    ecr = minimal.account.client("ecr")
    pushed = workflow.checkout.git("rev-parse", "HEAD")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    for name in ("api", "nginx"):
        text = json.dumps({**manifest, "annotations": {"name": name}})
        ecr.put_image(repositoryName=f"zama-{name}", imageManifest=text, imageTag=pushed[:7])
    outputs = tmp_path / "outputs"
    outputs.touch()
    here = {**workflow.environ, "GITHUB_OUTPUT": str(outputs)}
    code, said, called = programs.zama("images", "push", **here)
    assert (code, called) == (0, []), said
    given = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    digests = json.loads(given["digests"])
    assert set(digests) == {"api", "nginx"}
    assert given["api-digest"] == digests["api"] != digests["nginx"]
    assert given["api-repository"] == minimal.outputs["ecr_api_repo_url"]

    workflow.checkout.git("commit", "--quiet", "--allow-empty", "--message", "Another")
    programs.answer("base", "docker.io/library/python@sha256:1")
    code, said, called = programs.zama("images", "push", **here)
    tag = workflow.checkout.git("rev-parse", "HEAD")[:7]
    url = f"{minimal.outputs['ecr_api_repo_url']}:{tag}"
    assert called[1:] == [f"docker tag zama-api:local {url}", f"docker push --quiet {url}"]
    # The stand-in for docker pushes nothing.
    assert code == 1
    assert "was pushed, but ECR does not have it" in said

    # An image built on a base of this machine alone is not pushed.
    programs.answer("base", "zama-stand-in-python:bookworm")
    code, said, again = programs.zama("images", "push", **here)
    assert code == 1
    assert "built on zama-stand-in-python:bookworm and cannot be pushed" in said
    assert len(again) == len(called) + 1
