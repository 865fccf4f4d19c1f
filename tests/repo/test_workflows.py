"""The workflows are pinned and bounded, and jobs have only the permissions that they need."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from checkout import pages
from zama_ops import workflow
from zama_ops.delivery import rehearse
from zama_ops.paths import BOOTSTRAP, ROOT
from zama_ops.programs import complete
from zama_ops.workflow import WORKFLOWS, ExpressionError, Job, Step

MAKEFILE: Final = (ROOT / "Makefile").read_text()
ALL: Final = sorted(WORKFLOWS.glob("*.yml"))
ACTIONS: Final[dict[str, dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parent / "actions.yaml").read_text()
)

# Add new write permissions here as well, to confirm that they are intended.
WRITES: Final = {
    ("auto-merge.yml", "auto-merge"): {"contents", "pull-requests"},
    ("ci.yml", "docker-build-push"): {"id-token"},
    ("ci.yml", "provenance"): {"id-token", "attestations"},
    ("ci.yml", "publish"): {"id-token"},
    ("ci.yml", "terraform"): {"id-token"},
    ("ci.yml", "comment"): {"pull-requests"},
    ("deploy.yml", "plan"): {"id-token"},
    ("deploy.yml", "deploy"): {"id-token"},
    ("drift.yml", "drift"): {"id-token", "issues"},
    ("lock.yml", "propose"): {"contents", "pull-requests"},
    ("provenance.yml", "attest"): {"id-token", "attestations"},
    ("security.yml", "images"): {"security-events"},
}


def jobs() -> Iterator[Job]:
    for path in ALL:
        yield from workflow.jobs(path)


def steps() -> Iterator[tuple[Job, Step]]:
    for job in jobs():
        for step in job.steps:
            yield job, step


def ci(name: str) -> Job:
    return next(job for job in workflow.jobs(WORKFLOWS / "ci.yml") if job.name == name)


def deploy(name: str) -> Job:
    return next(job for job in workflow.jobs(WORKFLOWS / "deploy.yml") if job.name == name)


# --- Form -----------------------------------------------------------------------------------------


# The values that every step can use.
EVERYWHERE: Final = dict.fromkeys(
    (
        *("github.event.*", "github.event_name", "github.ref", "github.repository", "github.token"),
        *("vars.*", "secrets.*", "inputs.*"),
    ),
    "",
)


def check(path: Path) -> None:
    """Check that each step runs one target, and evaluate each expression in its place."""
    targets = re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE)
    workflow.fill_in(json.dumps({**workflow.read(path), "jobs": {}}), EVERYWHERE)
    outputs: dict[str, dict[str, str]] = {}
    for job in workflow.jobs(path):
        values = EVERYWHERE | {name: "" for need in job.needs for name in outputs[need]}
        workflow.holds(job.condition, values)
        for step, written in zip(job.steps, job.contents.get("steps", []), strict=True):
            run = re.fullmatch(r"make ([a-z-]+)", step.run)
            assert not step.run or (run and run[1] in targets), f"not one target: {step.run}"
            workflow.holds(step.condition, values)
            workflow.fill_in(json.dumps(written), values)
            values[f"steps.{step.identity}.outputs.*"] = values[
                f"steps.{step.identity}.outcome"
            ] = ""
        workflow.fill_in(json.dumps({**job.contents, "steps": []}), values)
        outputs[job.name] = {f"needs.{job.name}.outputs.{name}": "" for name in job.outputs}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_a_workflow_has_no_fault(path: Path) -> None:
    """Each step runs one target of the Makefile, and each expression has a value."""
    check(path)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("run: make secrets", "run: make secret", "not one target: make secret"),
        ("run: make secrets", "run: make secrets; curl example.com", "not one target"),
        ("run: make secrets", "run: make secrets ${{ github.ref }}", "not one target"),
        ("steps.push.outputs.digests", "steps.pull.outputs.digests", "nothing sets steps.pull"),
        ("needs.build-test.outputs.to-aws", "needs.build-test.outputs.aws", "nothing sets needs"),
        ("github.event_name == 'push'", "github.event == 'push' ||", "does not support the expr"),
        ("github.ref", "github.reference", "nothing sets github.reference"),
        ("github.ref", "matrix.ref", "nothing sets matrix.ref"),
    ],
)
def test_a_fault_is_found(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """Expressions that GitHub would treat as empty, and commands outside `make`, are reported."""
    text = (WORKFLOWS / "ci.yml").read_text()
    assert old in text
    path = tmp_path / "ci.yml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises((AssertionError, ExpressionError), match=fault):
        check(path)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_a_workflow_explains_itself_and_has_no_permissions(path: Path) -> None:
    """It starts with a comment, and only jobs request permissions."""
    assert path.read_text().startswith("# ")
    contents = workflow.read(path)
    assert contents["name"] == path.stem
    assert contents["permissions"] == {}
    assert contents["concurrency"]["group"]
    assert "pull_request_target" not in contents["on"]
    assert "workflow_run" not in contents["on"]


def test_a_merge_queue_runs_the_required_check() -> None:
    """Without this trigger, a queue would wait for `ci` for ever."""
    assert "merge_group" in workflow.read(WORKFLOWS / "ci.yml")["on"]


def test_changes_of_the_pipeline_have_owners() -> None:
    """They review changes that can change who may deploy."""
    owned = [
        line.split()[0]
        for line in (ROOT / ".github" / "CODEOWNERS").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert owned == ["/.github/", "/terraform/bootstrap/"]


def test_a_job_is_bounded() -> None:
    """It has a timeout, a fixed runner, and the name that branch rules use."""
    for job in jobs():
        assert job.contents["name"] == job.name
        if job.steps:
            # A deploy and a rollback may take long.
            most = 150 if job.contents.get("environment") == "production" else 80
            assert job.contents["timeout-minutes"] <= most, job.name
            assert job.contents["runs-on"] == "ubuntu-24.04", job.name


# --- Permissions ----------------------------------------------------------------------------------


def test_a_job_has_only_intended_write_permissions() -> None:
    """Each permission is listed on the job, with a comment on its purpose."""
    found = {}
    for job in jobs():
        permissions = job.contents["permissions"]
        assert set(permissions.values()) <= {"read", "write"}
        writes = {name for name, level in permissions.items() if level == "write"}
        if writes:
            found[job.workflow, job.name] = writes
    assert found == WRITES
    for path in ALL:
        for line in path.read_text().splitlines():
            if re.match(r" {6}[a-z-]+: (read|write)", line):
                assert re.search(r" # for \w", line), line


def test_only_the_deployment_has_secrets() -> None:
    """It runs on main only, after the environment's approval."""
    for path in ALL:
        contents = workflow.read(path)
        for name, job in contents["jobs"].items():
            has_secrets = "secrets." in json.dumps(job)
            assert not has_secrets or (path.name, name) == ("deploy.yml", "deploy")
    assert deploy("deploy").contents["environment"] == "production"
    for job in workflow.jobs(WORKFLOWS / "deploy.yml"):
        assert job.condition == "github.ref == 'refs/heads/main'"


def test_a_pull_request_gets_no_credential() -> None:
    """In ci.yml, steps that need AWS run only on pushes to main, and all others always."""
    values = {
        "github.event_name": "pull_request",
        "github.ref": "refs/pull/1/merge",
        "vars.AWS_PUSH_ROLE_ARN": "arn:aws:iam::123456789012:role/push",
        "github.event.repository.visibility": "public",
    }
    to_aws = workflow.fill_in(ci("build-test").outputs["to-aws"], values)
    assert to_aws == "false"
    assert workflow.read(WORKFLOWS / "ci.yml")["on"]["push"] == {"branches": ["main"]}
    values["needs.build-test.outputs.to-aws"] = to_aws
    # As on GitHub, the outputs of steps that did not run are empty.
    values |= {"steps.published.outputs.all": "", "needs.docker-build-push.outputs.published": ""}
    values["github.event.pull_request.head.repo.full_name"] = values["github.repository"] = "a/b"
    run = {
        step.run or step.action
        for job in workflow.jobs(WORKFLOWS / "ci.yml")
        if workflow.holds(job.condition, values)
        for step in job.steps
        if workflow.holds(step.condition, values)
    }
    assert not workflow.holds(ci("provenance").condition, values)
    outside = ("aws-actions/", "actions/attest", "sigstore/")
    assert [one for one in run if one.startswith(outside)] == []
    assert not {"make push", "make sign", "make publish", "make deploy-plan"} & run
    assert {"make test", "make test-all", "make images", "make scan", "make plan"} <= run


def test_a_pull_requests_code_gets_no_write_token() -> None:
    """The jobs that comment and merge run the code of the base branch."""
    comment = ci("comment")
    assert comment.condition == "github.event.pull_request.head.repo.full_name == github.repository"
    (merge,) = workflow.jobs(WORKFLOWS / "auto-merge.yml")
    for job in (comment, merge):
        (checkout,) = (step for step in job.steps if step.action == "actions/checkout")
        assert checkout.arguments["ref"] == "${{ github.event.pull_request.base.sha }}"


def test_the_job_that_proposes_locks_runs_no_new_package() -> None:
    """The job that resolves them has no token that can write."""
    resolve, propose = workflow.jobs(WORKFLOWS / "lock.yml")
    assert resolve.contents["permissions"] == {"contents": "read"}
    assert [step.run for step in propose.steps if step.run] == ["make lock-request"]
    assert not re.search(r"^lock-request: .*\$\(VENV\)", MAKEFILE, re.MULTILINE)


# --- Actions --------------------------------------------------------------------------------------


def test_an_action_is_pinned() -> None:
    """Each action has one commit, with its release as a comment, everywhere."""
    pins: dict[str, set[str]] = {}
    for path in ALL:
        for line in path.read_text().splitlines():
            if "uses:" not in line or "uses: $/" in line:
                continue
            found = re.fullmatch(r" +(?:- )?uses: (\S+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line)
            assert found, line
            pins.setdefault(found[1], set()).add(f"{found[2]} {found[3]}")
    assert {name: pin for name, pin in pins.items() if len(pin) > 1} == {}


def test_an_action_has_the_inputs_and_outputs_in_use() -> None:
    """actions.yaml lists every input and output that the workflows use."""
    used: dict[str, dict[str, set[str]]] = {}
    for job, step in steps():
        if step.uses:
            of = used.setdefault(step.action, {"inputs": set(), "outputs": set()})
            of["inputs"] |= set(step.arguments)
            outputs = rf"\bsteps\.{step.identity}\.outputs\.([\w-]+)"
            of["outputs"] |= set(re.findall(outputs, json.dumps(job.contents)))
    assert used == {
        action: {kind: set(read.get(kind, [])) for kind in ("inputs", "outputs")}
        for action, read in ACTIONS.items()
    }


def test_a_checkout_leaves_no_token_behind() -> None:
    """Later steps cannot push."""
    for job, step in steps():
        if step.action == "actions/checkout":
            assert step.arguments["persist-credentials"] is False, job.name


# --- The pipeline ---------------------------------------------------------------------------------


def test_the_stages_are_in_order() -> None:
    """Test, build, scan, push, sign, attest, publish, plan; then show, verify and apply."""
    assert ci("docker-build-push").needs == ("build-test",)
    assert set(ci("terraform").needs) == {"build-test", "docker-build-push"}
    assert "provenance" in ci("publish").needs
    targets = ["make published", "make images", "make sbom", "make scan", "make push", "make sign"]
    assert [step.run for step in ci("docker-build-push").steps if step.run] == targets
    assert deploy("deploy").needs == ("plan",)
    targets = ["make fetch-plan", "make show-plan"]
    assert [step.run for step in deploy("plan").steps if step.run] == targets
    targets = ["make fetch-plan", "make verify", "make deploy", "make roll-back"]
    assert [step.run for step in deploy("deploy").steps if step.run] == targets


def test_only_a_new_image_is_signed_and_attested() -> None:
    """A second attempt that finds published images attaches no result of another build to them."""
    values = {"needs.build-test.outputs.to-aws": "true"}
    for published in ("true", "false"):
        values["steps.published.outputs.all"] = published
        values["needs.docker-build-push.outputs.published"] = published
        run = {
            step.run or step.action
            for step in ci("docker-build-push").steps
            if workflow.holds(step.condition, values)
        }
        is_new = published == "false"
        assert ("make images" in run) == ("make sign" in run) == is_new
        assert workflow.holds(ci("provenance").condition, values) == is_new
        assert workflow.holds(ci("publish").condition, values) == is_new
        assert {"make sbom", "make scan", "make push"} <= run


def test_provenance_is_attested_without_code_of_the_repository() -> None:
    """Whatever a commit contains cannot forge the statement about its build."""
    assert ci("provenance").contents["uses"] == "$/.github/workflows/provenance.yml"
    (attest,) = workflow.jobs(WORKFLOWS / "provenance.yml")
    assert {step.run for step in attest.steps} == {""}
    assert "actions/checkout" not in {step.action for step in attest.steps}
    for job, step in steps():
        assert job.workflow == "provenance.yml" or "attest" not in step.action


def test_a_deploy_ends_with_a_rollback_or_a_record() -> None:
    """The rollback has time and fresh credentials, and it and the record follow any end."""
    job = deploy("deploy")
    names = [step.run or step.action for step in job.steps]
    began, rollback = names.index("make deploy"), names.index("make roll-back")
    assert names[rollback - 1] == "aws-actions/configure-aws-credentials"
    for step in job.steps[began + 1 :]:
        assert step.condition.startswith(workflow.ALWAYS), step.name
        for outcome in ("failure", "cancelled", "skipped"):
            assert workflow.holds(step.condition, {"steps.deploy.outcome": outcome}), step.name
    assert not workflow.holds(job.steps[rollback].condition, {"steps.deploy.outcome": "success"})
    assert job.steps[-1].action == "actions/upload-artifact"
    minutes = [job.contents["steps"][place]["timeout-minutes"] for place in (began, rollback)]
    # A step ends before the credentials, and after Terraform's 20 and CodeDeploy's 30 minutes.
    hour = re.search(r"max_session_duration = (\d+)", (BOOTSTRAP / "github.tf").read_text())
    assert hour
    assert 20 + 30 < min(minutes) <= max(minutes) < int(hour[1]) / 60
    assert job.contents["timeout-minutes"] > sum(minutes)


def test_each_job_gets_the_role_of_its_purpose() -> None:
    """Only the approved job gets the role that applies."""
    used: dict[str, set[str]] = {}
    for job, step in steps():
        if step.action == "aws-actions/configure-aws-credentials":
            role = workflow.bare(step.arguments["role-to-assume"])
            used.setdefault(role, set()).add(f"{job.workflow} {job.name}")
    assert used == {
        "vars.AWS_PUSH_ROLE_ARN": {
            "ci.yml docker-build-push",
            "ci.yml publish",
            "provenance.yml attest",
        },
        "vars.AWS_PLAN_ROLE_ARN": {"ci.yml terraform", "deploy.yml plan"},
        "vars.AWS_DRIFT_ROLE_ARN": {"drift.yml drift"},
        "secrets.AWS_OIDC_ROLE_ARN": {"deploy.yml deploy"},
    }


def test_a_step_that_fails_ends_the_pipeline() -> None:
    """No step may fail without consequences, and every check of a commit always runs."""
    for job in jobs():
        for part in (job.contents, *job.contents.get("steps", [])):
            assert "continue-on-error" not in part, job.name
    checks = ci("build-test")
    assert {checks.condition, *(step.condition for step in checks.steps if step.run)} == {""}


def test_one_check_represents_all() -> None:
    """The last job needs all others and always runs; it succeeds if none failed."""
    names = {job.name for job in workflow.jobs(WORKFLOWS / "ci.yml")}
    # The comment is optional, and pull requests from forks get none.
    assert set(ci("ci").needs) == names - {"ci", "comment"}
    assert ci("ci").condition == workflow.ALWAYS
    for results, code in (
        ("success skipped success", 0),
        ("success failure", 2),
        ("success cancelled skipped", 2),
        ("skipped", 2),
        ("", 2),
    ):
        done = complete("make", "succeeded", RESULTS=results)
        assert done.returncode == code, results


def test_every_check_is_in_the_pipeline() -> None:
    """All checks of `make lint`, and all others, run before the images are built."""
    (lint,) = re.findall(r"^lint: (.*?) ##", MAKEFILE, re.MULTILINE)
    checks = [*lint.split(), "setup", "secrets", "licences", "audit", "test"]
    assert {f"make {check}" for check in checks} <= {step.run for step in ci("build-test").steps}
    assert "make test-all" in {step.run for step in ci("test-all").steps}


def test_the_rehearsal_leaves_out_existing_steps() -> None:
    """Each step that the rehearsal leaves out is a step of a workflow."""
    assert set(rehearse._LEFT_OUT) <= {step.run.strip() for _, step in steps()}  # noqa: SLF001


def test_dependabot_updates_everything_that_is_pinned() -> None:
    """Dependabot knows the workflows and each folder with a base image, a provider or an npm lock.

    The locks of Python, which it cannot resolve, are updated by lock.yml.
    """
    assert "make lock" in {step.run for job, step in steps() if job.workflow == "lock.yml"}
    contents = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())
    known: dict[str, set[str]] = {}
    for update in contents["updates"]:
        folders = update.get("directories", [update.get("directory")])
        known.setdefault(update["package-ecosystem"], set()).update(folders)
    there = {
        "npm": folders_with("package-lock.json"),
        "docker": folders_with("Dockerfile"),
        "docker-compose": folders_with("docker-compose.yaml"),
        "terraform": folders_with(".terraform.lock.hcl"),
        "github-actions": {"/"},
    }
    assert known == there


def folders_with(pattern: str) -> set[str]:
    """Return the folders with a matching file, as paths in the repository."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob(pattern))
    hidden = {".venv", ".terraform", "build"}
    folders = {path.parent for path in found if not hidden & set(path.parts)}
    return {f"/{folder}" if folder.name else "/" for folder in folders}


def test_atlantis_runs_the_same_checks() -> None:
    """They run before the plan, and the outputs that atlantis.yaml names exist."""
    text = (ROOT / "atlantis.yaml").read_text()
    first, backend = yaml.safe_load(text)["workflows"]["service"]["plan"]["steps"][:2]
    assert first == {"run": "make -C .. lint-terraform"}
    assert backend == {"run": "cp backend.tf.example backend.tf"}
    outputs = (ROOT / "terraform" / "outputs.tf").read_text()
    named = re.findall(r"terraform output \S+ (\w+)", text)
    assert named == ["image_tag", "image_digests"]
    for name in named:
        assert f'output "{name}" {{' in outputs


# --- Documentation --------------------------------------------------------------------------------


def test_the_workflows_settings_are_documented() -> None:
    """docs/github.md explains each variable and secret of the workflows, and no other."""
    text = "".join(path.read_text() for path in ALL)
    used = set(re.findall(r"\b(?:vars|secrets)\.([A-Z_]+)", text))
    page = (ROOT / "docs" / "github.md").read_text()
    section = page.partition("## Variables and the secrets\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", section, re.MULTILINE)
    assert {name.strip("`") for row in rows for name in row.split(", ")} == used


def test_pages_name_existing_targets() -> None:
    """Badges refer to existing workflows."""
    text = "\n".join(page.read_text() for page in pages())
    targets = set(re.findall(r"(?:^|`)(?:[A-Z_]+=\S+ )*make ([a-z-]+)", text, re.MULTILINE))
    assert targets - set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)) == set()
    badges = re.findall(r"actions/workflows/([\w.]+)", text)
    assert set(badges) <= {path.name for path in ALL}
