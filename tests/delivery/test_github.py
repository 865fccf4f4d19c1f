"""The workflows' calls to GitHub's and Sigstore's programs, recorded by stand-ins."""

import contextlib
import datetime as dt
import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from checkout import Checkout
from standins import StandIns
from zama_ops.container_images import compose
from zama_ops.errors import CommandError
from zama_ops.programs import wait_until
from zama_ops.vulnerabilities import exceptions

REPOSITORY: Final = "example/zama-challenge"
API: Final = f"sha256:{64 * 'a'}"
NGINX: Final = f"sha256:{64 * 'b'}"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout.make(tmp_path_factory.mktemp("copy") / "checkout")


@pytest.fixture
def programs(tmp_path: Path, checkout: Checkout) -> Iterator[StandIns]:
    """Return stand-ins for a checkout, which is reset afterwards."""
    revision = checkout.git("rev-parse", "HEAD")
    yield StandIns(tmp_path / "bin", checkout)
    checkout.git("reset", "--quiet", "--hard", revision)
    checkout.git("clean", "-fdxq", "--exclude=.venv", "--exclude=__pycache__")


# --- The plan -------------------------------------------------------------------------------------


def test_the_plan_comes_from_the_run_on_main(programs: StandIns) -> None:
    """The run must be of the same commit and have passed completely."""
    revision = programs.checkout.git("rev-parse", "HEAD")
    code, said, called = programs.zama("deploy", "fetch", **IN_PLACE)
    assert (code, revision in said) == (1, True)
    query = "--workflow=ci.yml --branch=main --event=push"
    assert called == [
        f"gh run list {query} --commit={revision} --status=success --json=databaseId",
    ]


IN_PLACE: Final = {"STATE_BUCKET": "a-bucket"}


@pytest.mark.parametrize(
    ("words", "environ", "message"),
    [
        *(
            ("deploy plan", {**IN_PLACE, "IMAGE_DIGESTS": digests}, f"IMAGE_DIGESTS is {digests!r}")
            for digests in ("sha256:1", "[]", '{"api": "sha256:1"}')
        ),
        # Without a key, the smoke test would fail and roll back a good release.
        ("deploy apply", {**IN_PLACE, "API_KEY": ""}, "Set API_KEY"),
        # Grype is not available from the package index.
        ("images scan", {"GRYPE": "no-such-grype"}, "There is no no-such-grype on the PATH"),
        ("images sign", {}, "There is no build/images.json: `zama images push` writes it"),
    ],
)
def test_a_command_that_cannot_succeed_does_not_start(
    programs: StandIns, words: str, environ: dict[str, str], message: str
) -> None:
    """The command prints one line with the reason and calls no program."""
    code, said, called = programs.zama(*words.split(), **environ)
    assert (code, called) == (1, [])
    assert said.startswith(f"zama: {message}")


INTERRUPTED: Final = """#!/bin/sh
[ "$2" = plan ] || exit 0
trap 'sleep 1; echo "lock released" >>"$0.calls"; exit 1' INT
echo "plan begun" >>"$0.calls"
while :; do sleep 0.1; done
"""


def test_ctrl_c_lets_terraform_finish(programs: StandIns) -> None:
    """A killed Terraform would keep the state's lock and lose track of new resources."""
    terraform = programs.folder / "terraform"
    terraform.write_text(INTERRUPTED)
    terraform.chmod(0o755)
    calls = programs.folder / "terraform.calls"
    here = {"PATH": programs.path, "STATE_BUCKET": "a-bucket", "TF_CLI_CONFIG_FILE": "/dev/null"}
    command = ["zama", "deploy", "plan"]
    with programs.checkout.start(command, here, group=0) as deploy:
        try:
            wait_until(calls.exists, "the plan begins")
            os.killpg(deploy.pid, signal.SIGINT)
            _, said = deploy.communicate(timeout=20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(deploy.pid, signal.SIGKILL)
    assert deploy.returncode == 1
    assert calls.read_text() == "plan begun\nlock released\n"
    assert "`terraform plan` failed with exit code 1" in said


SAVES: Final = """#!/bin/sh
for word; do case $word in -out=*) : >"${word#-out=}" ;; esac; done
echo "said $2"
"""


def test_no_log_of_a_workflow_shows_a_plan(programs: StandIns) -> None:
    """Anyone can read the log of a public repository."""
    terraform = programs.folder / "terraform"
    terraform.write_text(SAVES)
    terraform.chmod(0o755)
    here = {"PATH": programs.path, "TF_CLI_CONFIG_FILE": "/dev/null", **IN_PLACE}
    for workflow in ("", "true"):
        done = programs.checkout.run("zama", "deploy", "plan", GITHUB_ACTIONS=workflow, **here)
        assert done.returncode == 0, done.stderr
        assert "said init" in done.stdout
        assert ("said plan" in done.stdout) == (not workflow)


def test_a_pull_request_gets_its_changes_to_the_plans(programs: StandIns) -> None:
    """The comment is a diff against the base, without unrelated content."""
    code, said, _ = programs.zama("aws-local", "compare", "HEAD")
    assert code == 0, said
    comment = programs.checkout.path / "build" / "plan" / "comment.md"
    assert comment.read_text().count("The plan has not changed.") == 2
    programs.checkout.edit("plan.txt", '      + dashboard_name = "zama-challenge"\n', "")
    assert programs.zama("aws-local", "compare", "HEAD")[0] == 0
    text = comment.read_text()
    assert '\n-      + dashboard_name = "zama-challenge"\n' in text
    assert text.count("The plan has not changed.") == 1
    assert text.count(" to add, 0 to change, 0 to destroy.") == 2
    plans = {path.name for path in comment.parent.iterdir()}
    assert plans == {"comment.md", "minimal.txt", "production.txt"}


# --- Auto-merge -----------------------------------------------------------------------------------

PATCHES: Final = "Bumps two\n\nupdated-dependencies:\n  update-type: version-update:semver-patch\n"


@pytest.mark.parametrize(
    ("files", "authors", "messages", "merged"),
    [
        ("tests/contract/package-lock.json", "dependabot[bot]", PATCHES, True),
        ("terraform/.terraform.lock.hcl\nrequirements-dev.txt", "dependabot[bot]", PATCHES, True),
        ("package-lock.json\nMakefile", "dependabot[bot]", PATCHES, False),
        (".github/workflows/ci.yml", "dependabot[bot]", PATCHES, False),
        ("package-lock.json", "dependabot[bot]\nsomebody", PATCHES, False),
        ("package-lock.json", "dependabot[bot]", PATCHES.replace("patch", "minor"), False),
        (
            "package-lock.json",
            "dependabot[bot]",
            PATCHES + PATCHES.replace("patch", "major"),
            False,
        ),
        ("package-lock.json", "dependabot[bot]", "Bumps two", False),
    ],
)
def test_only_a_patch_update_of_locks_merges_itself(
    programs: StandIns, files: str, authors: str, messages: str, *, merged: bool
) -> None:
    """All commits are Dependabot's, all updates are patches, and no other file changes."""
    for name, text in (("files", files), ("authors", authors), ("messages", messages)):
        (programs.folder / name).write_text(text)
    words = {"PULL_REQUEST": "5", "HEAD": "abc", "PATH": programs.path}
    done = programs.checkout.run("make", "auto-merge", **words)
    assert done.returncode == 0, done.stderr
    calls = (programs.folder / "calls").read_text().splitlines()
    merge = "gh pr merge 5 --auto --squash --match-head-commit abc"
    assert (merge in calls) == merged, done.stdout
    assert ("Left to a person" in done.stdout) != merged


# --- Schedules ------------------------------------------------------------------------------------


def test_a_disabled_schedule_is_reported(programs: StandIns) -> None:
    """GitHub disables schedules after 60 days without a commit; the next commit's check fails."""
    assert programs.checkout.run("make", "scheduled", PATH=programs.path).returncode == 0
    programs.answer("workflows", "drift\nsecurity\n")
    done = programs.checkout.run("make", "scheduled", PATH=programs.path)
    assert done.returncode == 2
    assert "Run: gh workflow enable drift" in done.stderr
    assert "Run: gh workflow enable security" in done.stderr
    programs.exit_with("gh", 1)
    assert programs.checkout.run("make", "scheduled", PATH=programs.path).returncode == 2


# --- Drift ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drift", "issues", "expected"),
    [
        ("", [], []),
        ("", [{"number": 7}], ["gh issue close 7"]),
        ("Plan: 1 to change", [{"number": 7}], ["gh issue edit 7"]),
        ("Plan: 1 to change", [], ["gh label create drift", "gh issue create --label=drift"]),
    ],
)
def test_there_is_one_issue_for_drift(
    programs: StandIns, drift: str, issues: list[Mapping[str, Any]], expected: list[str]
) -> None:
    """It is opened on drift, updated while drift remains, and closed when it is gone."""
    programs.write("drift.md", drift)
    programs.answer("issues", issues)
    code, said, called = programs.zama("drift", "report")
    assert code == 0, said
    assert called[0].startswith("gh issue list --label=drift --state=open")
    assert len(called) == 1 + len(expected)
    assert all(call.startswith(one) for call, one in zip(called[1:], expected, strict=True))


# --- Images ---------------------------------------------------------------------------------------


def test_a_failed_pull_shows_dockers_message(programs: StandIns, tmp_path: Path) -> None:
    """Without mmdebstrap, which builds stand-ins, the reason for the failure is printed."""
    for tool in ("basename", "cat", "dirname", "sed"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    programs.exit_with("docker", 1)
    path = f"{programs.folder}:{tmp_path}"
    done = programs.checkout.run("ops/stand-ins/base-images", PATH=path)
    assert (done.returncode, done.stdout) == (1, "")
    for image in ("python:3.13", "nginx:1.30"):
        assert re.search(rf"docker pull docker.io/library/{image}\S+: refused\n", done.stderr)
    assert "install mmdebstrap" in done.stderr


@pytest.mark.parametrize("version_1", [True, False])
def test_both_versions_of_compose_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, version_1: bool
) -> None:
    """Version 2 is a plugin of docker, and the only one on GitHub's runner."""
    if version_1:
        (tmp_path / "docker-compose").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compose() == (["docker-compose"] if version_1 else ["docker", "compose"])


@pytest.mark.parametrize(
    ("grype", "code", "message"),
    [(0, 0, ""), (2, 1, ""), (1, 1, "Grype could not scan zama-api")],
)
def test_a_severe_vulnerability_is_refused(
    programs: StandIns, grype: int, code: int, message: str
) -> None:
    """Both images are scanned whatever the first has; a failed scan is a failure."""
    programs.exit_with("grype", grype)
    found, said, called = programs.zama("images", "scan")
    assert found == code
    assert message in said
    folder = programs.checkout.path / "build"
    expected = [
        f"grype --config={folder}/grype.yaml sbom:{folder}/zama-{name}.cdx.json --fail-on high"
        f" --output table --output sarif={folder}/zama-{name}.sarif"
        for name in ("api", "nginx")
    ]
    assert called == (expected[:1] if message else expected)


def exception(**changes: str) -> str:
    """Return the text of a file with one exception."""
    fields = {"id": "CVE-2026-1", "reason": "not used", "expires": "2999-01-31", **changes}
    entry = ", ".join(f"{name}: {text}" for name, text in fields.items())
    return f"exceptions:\n  - {{{entry}}}\n"


def test_an_exception_is_ignored_until_it_expires(programs: StandIns) -> None:
    """The image scan and the audit of packages read the same file; neither runs if it expired."""
    file = programs.checkout.path / ".vulnerabilities.yaml"
    audit = ("python", "-m", "zama_ops.vulnerabilities")
    # The checkouts share one environment, so nothing may be installed from this one.
    make = ("make", "--assume-old=.venv/all.stamp")
    file.write_text(exception())
    assert programs.zama("images", "scan")[0] == 0
    config = yaml.safe_load((programs.checkout.path / "build" / "grype.yaml").read_text())
    assert {"vulnerability": "CVE-2026-1"} in config["ignore"]
    assert {"fix-state": "wont-fix"} in config["ignore"]
    assert programs.checkout.run(*audit).stdout == "--ignore-vuln=CVE-2026-1\n"

    (programs.folder / "calls").unlink()
    today = dt.datetime.now(dt.UTC).date().isoformat()
    file.write_text(exception(expires=today))
    told = f"CVE-2026-1 expired on {today}"
    code, said, called = programs.zama("images", "scan")
    assert (code, told in said, called) == (1, True, []), said
    done = programs.checkout.run(*make, "audit", COLUMNS="200")
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"expires": "soon"}, "must expire on a date"),
        ({"reason": " "}, "needs a reason"),
        ({"id": "--help"}, "is no id"),
        ({"until": "2999-01-31"}, "must have an id, a reason and `expires`"),
    ],
)
def test_an_invalid_exception_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, str], told: str
) -> None:
    """The message names the missing or invalid field."""
    file = tmp_path / "exceptions.yaml"
    file.write_text(exception(**changes))
    monkeypatch.setattr("zama_ops.vulnerabilities._FILE", file)
    with pytest.raises(CommandError, match=told):
        exceptions()


# --- Signatures -----------------------------------------------------------------------------------


def test_pushed_images_are_signed(programs: StandIns) -> None:
    """The signature and the SBOM attestation refer to the digest."""
    pushed = {"repository": "registry/zama-api", "digest": API}
    programs.write("images.json", json.dumps({"api": pushed}))
    code, said, called = programs.zama("images", "sign")
    assert code == 0, said
    parts = programs.checkout.path / "build" / "zama-api.cdx.json"
    image = f"registry/zama-api@{API}"
    assert called == [
        f"cosign sign --yes {image}",
        f"cosign attest --yes --type cyclonedx --predicate {parts} {image}",
    ]


def plan(programs: StandIns, digests: Mapping[str, str] | None) -> str:
    """Write a saved plan, and return its commit."""
    revision = programs.checkout.git("rev-parse", "HEAD")
    release = {
        "commit": revision,
        "tag": revision[:7],
        "digests": digests,
        "profile": "minimal",
        # The SHA-256 of an empty file.
        "plan": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }
    programs.write("plan/tfplan", "")
    programs.write("plan/release.json", json.dumps(release))
    return revision


def test_images_without_digests_are_refused(programs: StandIns) -> None:
    """A tag can move to another image."""
    for digests in (None, {"api": API}):
        plan(programs, digests)
        code, said, called = programs.zama("deploy", "verify", GITHUB_REPOSITORY=REPOSITORY)
        assert (code, called) == (1, [])
        assert "digests of both images" in said
