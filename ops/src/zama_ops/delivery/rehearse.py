"""`zama rehearse`: run the steps of the workflows on this machine."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from zama_ops import workflow
from zama_ops.console import CROSS, TICK, RenderableType, errors_told, notes, say_json, styled
from zama_ops.contract_checks import EXAMPLE_KEY
from zama_ops.emulated_account import EXAMPLE_REPOSITORY, EmulatedAccount, temporary_account
from zama_ops.git import commit, image_tag
from zama_ops.options import AsJson
from zama_ops.paths import ROOT
from zama_ops.programs import require, run
from zama_ops.terraform import cli_configuration
from zama_ops.workflow import Job, Step

_PIPELINE: Final = ("ci.yml", "deploy.yml")
_CREDENTIALS: Final = "aws-actions/configure-aws-credentials"
_ROLE: Final = "arn:aws:iam::000000000000:role/zama-challenge"
_LAST_LINES: Final = 60

Outcome = Literal["passed", "failed", "left out"]
_MARKS: Final[dict[Outcome, RenderableType]] = {
    "passed": TICK,
    "failed": CROSS,
    "left out": styled("-", "yellow"),
}


@dataclass(frozen=True)
class Result:
    """A step's outcome; `detail` is the reason it was left out, or its last output."""

    job: str
    step: str
    outcome: Outcome
    seconds: float = 0
    detail: str = ""


def _osv_answers() -> bool:
    try:
        socket.create_connection(("api.osv.dev", 443), 3).close()
    except OSError:
        return False
    return True


_LEFT_OUT: Final[dict[str, tuple[Callable[[Mapping[str, str]], object], str]]] = {
    "make packages": (lambda _: False, "it would install packages on this machine"),
    "make test-all": (lambda _: False, "it takes ten minutes; run it separately"),
    "make audit": (
        lambda _: os.environ.get("OSV_URL") or _osv_answers(),
        "api.osv.dev, the vulnerability database, does not answer",
    ),
    "make scan": (lambda _: shutil.which("grype"), "there is no grype on the PATH"),
    "make sign": (lambda _: False, "only a GitHub workflow has an identity to sign with"),
    "make scheduled": (lambda _: False, "only GitHub knows"),
    "make publish": (lambda _: False, "the emulated registry stores no images"),
    "make fetch-plan": (
        lambda environ: environ.get("PLAN"),
        "only GitHub knows the run; the plan is already in build/plan",
    ),
    "make verify": (lambda _: False, "a rehearsal signs nothing"),
}
"""Steps that cannot always run here: a check of their environment, and the reason if not."""


@dataclass
class Rehearsal:
    """A push to main, and the deploy after it, with the current values of expressions.

    It starts from the `saved` account, if any, and `stack` ends everything that it starts.
    """

    directory: Path
    stack: ExitStack
    values: dict[str, str]
    saved: Path | None
    account: EmulatedAccount | None = field(default=None, init=False)
    failed: bool = field(default=False, init=False)

    def walk(self) -> Iterator[Result]:
        """Yield the result of each step, and stop after the first that fails."""
        for name in _PIPELINE:
            for job in workflow.jobs(workflow.WORKFLOWS / name):
                if workflow.holds(job.condition, self.values):
                    yield from self._job(job)
                if self.failed:
                    return

    def _job(self, job: Job) -> Iterator[Result]:
        outputs: dict[str, str] = {}
        credentials: dict[str, str] = {}
        if not job.steps:
            name = job.contents["uses"].rpartition("/")[2]
            yield Result(job.name, name, "left out", detail="only GitHub can attest provenance")
        for one in job.steps:
            values = {**self.values, **outputs}
            # As on GitHub, the outputs of a step that does not run are empty.
            own_outputs = {"*": ""}
            outputs[f"steps.{one.identity}.outcome"] = "success"
            if workflow.holds(one.condition, values):
                if one.action == _CREDENTIALS:
                    role = workflow.fill_in(one.arguments["role-to-assume"], values)
                    credentials = self._credentials(job, role)
                if one.run:
                    environ = {
                        name: workflow.fill_in(str(text), values)
                        for name, text in {**job.environ, **one.environ}.items()
                    }
                    result, own_outputs = self._run(job, one, {**credentials, **environ})
                    yield result
                    if result.outcome == "failed":
                        self.failed = True
                        return
            outputs |= {
                f"steps.{one.identity}.outputs.{key}": text for key, text in own_outputs.items()
            }
        self.values[f"needs.{job.name}.result"] = "success"
        for name, text in job.outputs.items():
            self.values[f"needs.{job.name}.outputs.{name}"] = workflow.fill_in(
                text, {**self.values, **outputs}
            )

    def _run(
        self, job: Job, one: Step, environ: Mapping[str, str]
    ) -> tuple[Result, dict[str, str]]:
        target = " ".join(word for word in one.run.split()[:2])
        can, reason = _LEFT_OUT.get(target, (lambda _: True, ""))
        if not can(environ):
            return Result(job.name, one.name, "left out", detail=reason), {"*": ""}
        if target == "make push" and self.account:
            # The emulated registry stores nothing and has no digests: only tag the images.
            self.account.push(image_tag(commit()))
            return Result(job.name, one.name, "passed"), {"*": ""}
        outputs = self.directory / "outputs"
        outputs.write_text("")
        outside = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", one.run],
            cwd=ROOT,
            env={**outside, **self._runner(), **environ, "GITHUB_OUTPUT": str(outputs)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = round(time.monotonic() - began, 1)
        if done.returncode:
            last = "\n".join(done.stdout.splitlines()[-_LAST_LINES:])
            return Result(job.name, one.name, "failed", seconds, last), {}
        own_outputs = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
        return Result(job.name, one.name, "passed", seconds), own_outputs

    def _runner(self) -> dict[str, str]:
        """Return the environment that GitHub's runner gives every step."""
        names = ("event_name", "ref", "repository", "sha")
        return {
            **{f"GITHUB_{name.upper()}": self.values[f"github.{name}"] for name in names},
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": "1",
            "GITHUB_STEP_SUMMARY": str(self.directory / "summary.md"),
            "RUNNER_TEMP": str(self.directory),
        }

    def _credentials(self, job: Job, role: str) -> dict[str, str]:
        """Return the credentials of a role, assumed with the identity that GitHub gives the job.

        https://docs.github.com/en/actions/reference/security/oidc
        """
        if self.account is None:
            require("terraform", "docker")
            self.account = self.stack.enter_context(temporary_account(self.saved))
            if self.saved is None:
                self.account.bootstrap()
            self.values["vars.STATE_BUCKET"] = self.account.state_bucket()
        environment = job.contents.get("environment")
        context = (
            f"environment:{environment}" if environment else f"ref:{self.values['github.ref']}"
        )
        return {
            **self.account.workflow_environ(role, f"repo:{EXAMPLE_REPOSITORY}:{context}"),
            **cli_configuration(),
            "TF_DATA_DIR": str(self.directory / "terraform"),
            # The first `apply` writes this key.
            "TF_VAR_api_key_value": f"default={EXAMPLE_KEY}",
            "CONNECT_TO": f"127.0.0.1:{self.account.port}",
        }


def rehearse(
    *,
    as_json: AsJson = False,
    saved: Annotated[
        Path | None,
        typer.Option("--account", help="Start from a saved account; skip terraform/bootstrap."),
    ] = None,
) -> None:
    """Run the pipeline for the checked-out commit, as after a push to main, and deploy it.

    Runs the steps of .github/workflows in order, on an emulated AWS account. Steps that need GitHub
    or the internet are left out, with the reason. The first failed step ends the rehearsal with
    exit code 1 and the step's last output.
    """
    with errors_told(), ExitStack() as stack:
        values = {
            "github.event_name": "push",
            "github.ref": "refs/heads/main",
            "github.repository": EXAMPLE_REPOSITORY,
            "github.sha": commit(),
            "github.token": "",
            **{f"vars.AWS_{name.upper()}_ROLE_ARN": f"{_ROLE}-{name}" for name in ("push", "plan")},
            "secrets.AWS_OIDC_ROLE_ARN": f"{_ROLE}-deploy",
            "vars.AWS_REGION": "eu-west-1",
            "vars.PROFILE": "minimal",
            "secrets.API_KEY_VALUE": EXAMPLE_KEY,
            # Without a value they are empty on GitHub as well.
            **dict.fromkeys(("github.event.*", "vars.*", "secrets.*"), ""),
        }
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zama-rehearse-")))
        if run("git", "status", "--porcelain"):
            notes.print("The rehearsal includes uncommitted changes.")
        rehearsal = Rehearsal(directory, stack, values, saved)
        results = []
        with notes.status("Rehearsing ..."):
            for result in rehearsal.walk():
                results.append(result)
                _tell(result)
    if as_json:
        say_json([asdict(result) for result in results])
    if rehearsal.failed:
        raise typer.Exit(1)


def _tell(result: Result) -> None:
    left_out = result.outcome == "left out"
    aside = f"left out: {result.detail}" if left_out else f"{result.seconds:.0f} s"
    step = f"{result.job}: {result.step}"
    notes.print(_MARKS[result.outcome], step, styled(f"({aside})", "dim"))
    if result.outcome == "failed":
        notes.print(result.detail)
