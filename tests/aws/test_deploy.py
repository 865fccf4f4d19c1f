"""`zama deploy` applies exactly the saved plan, and rolls back a release that fails its checks."""

import getpass
import json
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any, Final

import pytest

from checkout import Checkout
from deployment import Deployment, planned_changes
from standins import StandIns
from zama_ops.container_images import digest, keep
from zama_ops.contract_checks import EXAMPLE_KEY
from zama_ops.emulated_account import EXAMPLE_REPOSITORY
from zama_ops.programs import wait_until
from zama_ops.terraform import Terraform, cli_configuration

# Live and ready, but with wrong results, and not the released version. It raises no alarm, by which
# ECS would stop the rollback.
MISCALCULATES: Final = """
from http.server import BaseHTTPRequestHandler, HTTPServer
BODIES = {"/healthz": b'{"status":"ok","version":"0.0"}', "/readyz": b'{"status":"ready"}'}
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = BODIES.get(self.path.partition("?")[0], b"")
        self.send_response(200 if body else 404)
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

    def interrupt_apply(self) -> None:
        """Begin to apply while the state is locked, and end the process as a runner does."""
        record = self.checkout.path / "build" / "deployment.json"
        record.unlink()
        command = ["zama", "deploy", "apply"]
        with self.checkout.start(command, self.environ, group=0) as deploy:
            try:
                wait_until(record.exists, "it begins")
            finally:
                os.killpg(deploy.pid, signal.SIGKILL)
        assert self.record()["outcome"] == "interrupted"

    def built(self, name: str) -> str:
        return (self.checkout.path / "build" / name).read_text()

    def record(self) -> Any:
        return json.loads(self.built("deployment.json"))


class Lock:
    """The state's lock, as Terraform keeps it."""

    def __init__(self, deployment: Deployment) -> None:
        self.s3 = deployment.account.client("s3")
        self.where = {
            "Bucket": deployment.account.state_bucket(),
            "Key": "service/terraform.tfstate.tflock",
        }

    def take(self, who: str) -> None:
        lock = {"ID": "1", "Operation": "OperationTypeApply", "Who": who}
        self.s3.put_object(**self.where, Body=json.dumps(lock).encode())

    def is_taken(self) -> bool:
        listed = self.s3.list_objects_v2(Bucket=self.where["Bucket"], Prefix=self.where["Key"])
        return "Contents" in listed

    def release(self) -> None:
        self.s3.delete_object(**self.where)


def assert_harmless(deployment: Deployment, workflow: Workflow) -> None:
    """Assert that a stale plan and a lock of another run change nothing, and are recorded."""
    running = deployment.service()["taskDefinition"]
    code, printed = workflow.zama("deploy", "apply")
    assert (code, "stale" in printed) == (1, True)
    assert workflow.record()["outcome"] == "nothing was changed"
    assert workflow.zama("deploy", "roll-back")[0] == 0
    assert workflow.record()["outcome"] == "nothing was changed"

    # A plan waits until another run releases the lock.
    lock = Lock(deployment)
    lock.take("another@machine")
    with workflow.checkout.start(["zama", "deploy", "plan"], workflow.environ) as plan:
        assert plan.stdout
        waits = any("Acquiring state lock" in line for line in plan.stdout)
        lock.release()
        plan.communicate()
    assert (waits, plan.returncode) == (True, 0)

    lock.take("another@machine")
    code, printed = workflow.zama("deploy", "apply", LOCK_TIMEOUT="1s")
    assert (code, "Error acquiring the state lock" in printed) == (1, True)
    assert workflow.record()["outcome"] == "nothing was changed"
    workflow.interrupt_apply()
    assert workflow.zama("deploy", "roll-back")[0] == 0
    assert workflow.record()["outcome"] == "nothing was changed"
    assert lock.is_taken()
    lock.release()
    assert deployment.service()["taskDefinition"] == running

    # An interrupted Terraform of this machine was changing something, and has left its lock.
    lock.take(f"{getpass.getuser()}@{socket.gethostname()}")
    workflow.interrupt_apply()
    code, printed = workflow.zama("deploy", "roll-back")
    assert (code, lock.is_taken()) == (0, False), printed
    record = workflow.record()
    assert record["outcome"] == f"rolled back to {record['release']['tag']}"


def assert_refused_before_the_approval(deployment: Deployment, workflow: Workflow) -> None:
    """Assert that the role of a job on main cannot apply the saved plan."""
    running = deployment.service()["taskDefinition"]
    role = "arn:aws:iam::000000000000:role/zama-challenge-plan"
    on_main = f"repo:{EXAMPLE_REPOSITORY}:ref:refs/heads/main"
    before = {**workflow.environ, **deployment.account.workflow_environ(role, on_main)}
    done = workflow.checkout.run("zama", "deploy", "apply", **before)
    assert (done.returncode, "AccessDenied" in done.stderr) == (1, True), done.stderr
    # Terraform without our command.
    build = workflow.checkout.path / "build"
    service = Terraform(build / "service" / "terraform", before)
    done = service.complete("apply", "-no-color", str(build / "plan" / "tfplan"))
    assert done.returncode == 1, done.stdout
    assert "not authorized to perform: ecs:RegisterTaskDefinition" in done.stderr
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

    # A manual change is drift. A second plan changes nothing else.
    minimal.account.client("sns").subscribe(
        TopicArn=minimal.outputs["alarm_topic_arns"]["page"],
        Protocol="https",
        Endpoint="https://pager.example.com/",
    )
    silenced = ["zama-challenge-HighMemory"]
    minimal.account.client("cloudwatch").disable_alarm_actions(AlarmNames=silenced)
    code, printed = workflow.zama("drift", "find")
    assert code == 0, printed
    found = workflow.built("drift.md")
    alarm = 'aws_cloudwatch_metric_alarm.this["HighMemory"]'
    assert planned_changes(found) == {alarm: {"actions_enabled"}}
    assert re.search("actions_enabled += false -> true", found)
    assert re.findall(r"of (\S+) has not confirmed", found) == ["zama-challenge-alarms-page"]

    # Its tasks are healthy, so only the smoke test can find the fault.
    workflow.checkout.edit("README.md", "adds two integers", "adds two integers wrongly")
    bad = workflow.checkout.commit()
    minimal.publish(bad[:7], ENTRYPOINT=json.dumps(["python3", "-c", MISCALCULATES]))
    assert workflow.zama("deploy", "plan")[0] == 0
    assert_refused_before_the_approval(minimal, workflow)
    code, printed = workflow.zama("deploy", "apply")
    assert (code, workflow.record()["outcome"]) == (1, "failed"), printed
    code, printed = workflow.zama("deploy", "roll-back")
    assert code == 0, printed
    record = workflow.record()
    assert record["release"]["commit"] == bad
    assert record["outcome"] == f"rolled back to {good}", printed
    for fault in ("POST /sum: the sum", "/healthz reports version '0.0'"):
        assert any(fault in line for line in record["faults"]), record["faults"]
    assert minimal.sum().json() == {"sum": 42}
    assert minimal.get("/healthz").json()["version"] == good
    # Another run's failure is not this run's to roll back.
    assert "nothing to roll back" in workflow.zama("deploy", "roll-back")[1]


@pytest.mark.parametrize(
    "words", [*(("deploy", verb) for verb in ("apply", "plan", "roll-back")), ("drift", "find")]
)
def test_a_missing_setting_is_named(tmp_path: Path, words: tuple[str, str]) -> None:
    """A missing setting is reported before anything starts."""
    checkout = Checkout.make(tmp_path / "checkout")
    done = checkout.run("zama", *words, COLUMNS="200")
    assert done.returncode == 2
    assert "STATE_BUCKET" in done.stderr


def assert_shown(
    deployment: Deployment, workflow: Workflow, programs: StandIns, digest: str
) -> None:
    """Assert that the plan of the newest attempt is fetched, shown and named for its approver."""
    s3, bucket = deployment.account.client("s3"), deployment.account.state_bucket()
    commit = workflow.checkout.git("rev-parse", "HEAD")
    for key in ("tfplan", "release.json"):
        where = f"service/plans/{commit}/7/"
        body = s3.get_object(Bucket=bucket, Key=f"{where}2/{key}")["Body"].read()
        # As numbers: 10 follows 9.
        s3.put_object(Bucket=bucket, Key=f"{where}9/{key}", Body=b"{}")
        s3.put_object(Bucket=bucket, Key=f"{where}10/{key}", Body=body)
    programs.answer("runs", [{"databaseId": 8}])
    code, said, _ = programs.zama("deploy", "fetch", **workflow.environ)
    assert (code, "has saved no plan" in said) == (1, True)
    programs.answer("runs", [{"databaseId": 7}])
    code, said, _ = programs.zama("deploy", "fetch", **workflow.environ)
    assert code == 0, said

    for whole in ("false", "true"):
        paths = {name: programs.folder / f"{name}-{whole}" for name in ("OUTPUT", "STEP_SUMMARY")}
        given = {f"GITHUB_{name}": str(path) for name, path in paths.items()}
        code, printed = workflow.zama("deploy", "show", WHOLE_PLAN=whole, **given)
        assert code == 0, printed
        summary = paths["STEP_SUMMARY"].read_text()
        assert "  # aws_ecs_task_definition.this" in summary
        assert (f"zama-api@{digest}" in summary) == (whole == "true")
    outputs = dict(line.split("=", 1) for line in paths["OUTPUT"].read_text().splitlines())
    assert outputs["name"] == f"{commit}/7/10"
    code, printed = workflow.zama("deploy", "apply", PLAN_CHECKSUM=64 * "0")
    assert (code, f"checksum is {outputs['checksum']}" in printed) == (1, True)
    # With the name, as after the approval, it does not ask GitHub.
    programs.exit_with("gh", 1)
    code, said, _ = programs.zama(
        "deploy", "fetch", f"--plan={outputs['name']}", **workflow.environ
    )
    assert code == 0, said
    (programs.folder / "gh.code").unlink()


def test_only_images_signed_by_the_workflow_on_main_are_deployed(
    minimal: Deployment, tmp_path: Path
) -> None:
    """Each digest's signature, SBOM and provenance are verified; a failure stops the deployment."""
    workflow = Workflow(minimal, tmp_path / "checkout")
    programs = StandIns(tmp_path / "bin", workflow.checkout)
    digests = {name: f"sha256:{64 * letter}" for name, letter in (("api", "a"), ("nginx", "b"))}
    attempt = {"GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2"}
    code, printed = workflow.zama("deploy", "plan", IMAGE_DIGESTS=json.dumps(digests), **attempt)
    assert code == 0, printed
    here = {**workflow.environ, "GITHUB_REPOSITORY": "example/zama-challenge"}
    assert_shown(minimal, workflow, programs, digests["api"])

    code, said, called = programs.zama("deploy", "verify", **here)
    assert code == 0, said
    commit = workflow.checkout.git("rev-parse", "HEAD")
    urls = {name: minimal.outputs[f"ecr_{name}_repo_url"] for name in digests}
    workflows = "example/zama-challenge/.github/workflows"
    for name, url in urls.items():
        image = f"{url}@{digests[name]}"
        about = [call for call in called if image in call]
        assert [call.split()[:2] for call in about] == [
            ["cosign", "verify"],
            ["cosign", "verify-attestation"],
            ["gh", "attestation"],
        ]
        for call in about[:2]:
            identity = f"https://github.com/{workflows}/ci.yml@refs/heads/main"
            assert f"--certificate-identity={identity}" in call
        assert f"--signer-workflow {workflows}/provenance.yml" in about[2]
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


def test_published_images_are_used_and_not_built_again(minimal: Deployment, tmp_path: Path) -> None:
    """A second attempt scans and deploys the digests with the commit's tag."""
    workflow = Workflow(minimal, tmp_path / "checkout")
    programs = StandIns(tmp_path / "bin", workflow.checkout)
    outputs = tmp_path / "outputs"
    here = {**workflow.environ, "GITHUB_OUTPUT": str(outputs)}
    ecr = minimal.account.client("ecr")
    tag = workflow.checkout.git("rev-parse", "HEAD")[:7]
    urls = {name: minimal.outputs[f"ecr_{name}_repo_url"] for name in ("api", "nginx")}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}

    def put(name: str, text: str) -> str:
        given = json.dumps({**manifest, "annotations": {"name": text}})
        image = {"repositoryName": f"zama-{name}", "imageManifest": given}
        put = ecr.put_image(**image, imageTag=f"{tag}-{text}")["image"]
        return str(put["imageId"]["imageDigest"])

    def given() -> dict[str, str]:
        lines = outputs.read_text().splitlines()
        outputs.unlink()
        return dict(line.split("=", 1) for line in lines)

    # The first attempt has pushed both, and has published one.
    digests = {name: put(name, f"{name}-1-1") for name in urls}
    one = {"IMAGE_DIGESTS": json.dumps({**digests, "nginx": digests["api"]})}
    assert programs.zama("images", "publish", **here, **one)[0] == 1
    code, said, called = programs.zama("images", "published", **here)
    assert (code, called, given()) == (0, [], {"all": "false"}), said

    both = {"IMAGE_DIGESTS": json.dumps(digests)}
    for _ in range(2):
        code, said, called = programs.zama("images", "publish", **here, **both)
        assert (code, called) == (0, []), said
    other = {**digests, "api": put("api", "api-1-2")}
    code, said, _ = programs.zama("images", "publish", **here, IMAGE_DIGESTS=json.dumps(other))
    assert (code, f"zama-api:{tag} is already {digests['api']}" in said) == (1, True)

    code, said, called = programs.zama("images", "published", **here)
    assert (code, given()) == (0, {"all": "true"}), said
    images = {name: f"{url}@{digests[name]}" for name, url in urls.items()}
    assert called == [
        line
        for name, image in images.items()
        for line in (f"docker pull --quiet {image}", f"docker tag {image} zama-{name}:local")
    ]
    code, said, again = programs.zama("images", "push", **here)
    assert (code, again) == (0, called), said
    found = given()
    assert json.loads(found["digests"]) == digests
    assert (found["api-digest"], found["api-repository"]) == (digests["api"], urls["api"])


def test_new_images_are_pushed_for_their_attempt(minimal: Deployment, tmp_path: Path) -> None:
    """They get the commit's tag later; images on a base of this machine alone are not pushed."""
    workflow = Workflow(minimal, tmp_path / "checkout")
    programs = StandIns(tmp_path / "bin", workflow.checkout)
    here = {**workflow.environ, "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2"}
    workflow.checkout.git("commit", "--quiet", "--allow-empty", "--message", "Another")
    programs.answer("base", "docker.io/library/python@sha256:1")
    code, said, called = programs.zama("images", "push", **here)
    tag = workflow.checkout.git("rev-parse", "HEAD")[:7]
    url = f"{minimal.outputs['ecr_api_repo_url']}:{tag}-7-2"
    assert called[1:] == [f"docker tag zama-api:local {url}", f"docker push --quiet {url}"]
    # The stand-in for docker pushes nothing.
    assert code == 1
    assert "was pushed, but ECR does not have it" in said

    programs.answer("base", "zama-stand-in-python:trixie")
    code, said, again = programs.zama("images", "push", **here)
    assert code == 1
    assert "built on zama-stand-in-python:trixie and cannot be pushed" in said
    assert len(again) == len(called) + 1
