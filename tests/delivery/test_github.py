"""The workflows' calls to GitHub's and Sigstore's programs, recorded by stand-ins."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from checkout import Checkout
from standins import StandIns
from zama_ops.programs import wait_until

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
    checkout.git("clean", "-fdxq", "--exclude=.venv")


# --- The plan -------------------------------------------------------------------------------------


def test_the_plan_comes_from_the_run_on_main(programs: StandIns) -> None:
    """The run must be of the same commit and have passed completely."""
    revision = programs.checkout.git("rev-parse", "HEAD")
    code, said, _ = programs.zama("deploy", "fetch")
    assert (code, revision in said) == (1, True)
    programs.answer("runs", [{"databaseId": 12}, {"databaseId": 11}])
    code, _, called = programs.zama("deploy", "fetch")
    assert code == 0
    listed = (
        f"gh run list --workflow=ci.yml --branch=main --event=push --commit={revision}"
        " --status=success --json=databaseId"
    )
    folder = programs.checkout.path / "build" / "plan"
    assert called[-2:] == [listed, f"gh run download 12 --name=plan --dir={folder}"]


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
        f"grype sbom:{folder}/zama-{name}.cdx.json --fail-on high"
        f" --output table --output sarif={folder}/zama-{name}.sarif"
        for name in ("api", "nginx")
    ]
    assert called == (expected[:1] if message else expected)


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
