"""An AWS account on this machine: an emulator, with Terraform applied to it."""

import base64
import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from zama_ops.aws import connect, session
from zama_ops.container_images import IMAGES
from zama_ops.contract_checks import EXAMPLE_KEY
from zama_ops.errors import CommandError
from zama_ops.http_client import HttpClient, NoAnswerError
from zama_ops.paths import BOOTSTRAP, ROOT, STAND_INS, TERRAFORM
from zama_ops.programs import complete, free_port, run
from zama_ops.terraform import Profile, Terraform, with_backend

# For plans that are shown and not applied.
EXAMPLE_TAG: Final = "1a2b3c4"
# The repository whose workflows may deploy.
EXAMPLE_REPOSITORY: Final = "example/zama-challenge"
# The role that applies, and the subject in the token of the environment with the approval.
_DEPLOY_ROLE: Final = "arn:aws:iam::000000000000:role/zama-challenge-deploy"
_DEPLOY_SUBJECT: Final = f"repo:{EXAMPLE_REPOSITORY}:environment:production"

# The program in emulator/, and the number of consecutive ports that it listens on.
_EMULATOR: Final = "zama_emulator"
_PORTS: Final = 3
# As in profiles/production.tfvars.
_COLLECTOR_TAG: Final = "v0.45.0"
_DOMAIN: Final = "api.zama.example"
# A group in IAM Identity Center.
_OPERATORS: Final = "9a67295558-7c1f0e2a-3b4d-4c5e-8f60-718293a4b5c6"
_START_SECONDS: Final = 60
_PROGRESS: Final = re.compile(
    r"\S+: (Refreshing state|Reading|Still reading|Read complete)|(Acquiring|Releasing) state lock"
)
_LOG_LINES: Final = 40


# botocore takes longer to create a client than most requests to the emulator take.
_connect: Final = functools.cache(connect)
# The emulators that this process started, by process id.
_children: Final[dict[int, subprocess.Popen[bytes]]] = {}


@dataclass(frozen=True)
class EmulatedAccount:
    """An emulated account: its directory, and the first port of its emulator.

    The service's Terraform state is in the emulator's own bucket, so both end together. With
    `as_workflow`, Terraform applies the service with the credentials of the deploy role, whose
    policies the emulator enforces; otherwise as an administrator.
    """

    directory: Path
    port: int = 4566
    as_workflow: bool = False

    # --- Emulator -----------------------------------------------------------------------------

    def environ(self) -> dict[str, str]:
        """Return the environment variables that point AWS clients at the emulator."""
        return dict(_environment(self.port))

    def workflow_environ(
        self, role: str = _DEPLOY_ROLE, subject: str = _DEPLOY_SUBJECT
    ) -> dict[str, str]:
        """Return the environment of a workflow: with the role that it assumes by its identity.

        Raises:
            botocore.exceptions.ClientError: the role does not trust the subject.

        """
        claims = {
            "iss": "https://token.actions.githubusercontent.com",
            "aud": "sts.amazonaws.com",
            "sub": subject,
            "exp": time.time() + 300,
        }
        # The emulator does not check the signature.
        token = b".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()) for part in ({}, claims, {})
        )
        issued = self.client("sts").assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="workflow", WebIdentityToken=token.decode()
        )["Credentials"]
        return {
            **self.environ(),
            "AWS_ACCESS_KEY_ID": issued["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": issued["SecretAccessKey"],
            "AWS_SESSION_TOKEN": issued["SessionToken"],
        }

    def client(self, service: str, environ: Mapping[str, str] | None = None) -> Any:
        """Return a client for a service in the emulator, by default of an administrator."""
        environ = environ or self.environ()
        return _connect(
            service,
            endpoint_url=environ.get(_endpoint_setting(service), environ["AWS_ENDPOINT_URL"]),
            region_name=environ["AWS_REGION"],
            aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=environ.get("AWS_SESSION_TOKEN"),
        )

    def runs(self) -> bool:
        """Say whether the emulator runs and answers."""
        return self._process.exists() and self._answers()

    def _answers(self) -> bool:
        client = HttpClient(f"http://127.0.0.1:{self.port}", timeout=2)
        with contextlib.suppress(NoAnswerError):
            return client.send("GET", "/_ministack/health").status == 200
        return False

    def start(self, saved: Path | None = None) -> None:
        """Start the emulator in the background, from an account that `save` kept, if given."""
        self.stop()
        if self._answers():
            raise CommandError(
                f"An emulator that was not started from {ROOT} has port {self.port}. Run `make"
                " aws-local-down` in the checkout that started it."
            )
        if saved:
            shutil.copytree(saved, self.directory, symlinks=True)
        else:
            self.directory.mkdir(parents=True)
        command = [sys.executable, "-m", _EMULATOR, f"--port={self.port}"]
        with self._log.open("wb") as output:
            emulator = subprocess.Popen(
                [*command, f"--state={self.directory / 'state'}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._process.write_text(str(emulator.pid))
        _children[emulator.pid] = emulator
        deadline = time.monotonic() + _START_SECONDS
        while not self.runs():
            if emulator.poll() is not None or time.monotonic() > deadline:
                log = self._log.read_text()
                self.stop()
                raise CommandError(f"The emulator did not start.\n{log}")
            time.sleep(0.1)

    def save(self, folder: Path) -> None:
        """Stop the emulator and move the account to a folder, for `start`.

        MiniStack saves its own records, but no bucket objects and nothing from moto. That is enough
        for the resources in terraform/bootstrap, but not for a deployment.
        """
        self._end()
        shutil.move(self.directory, folder)

    def stop(self) -> None:
        """Stop the emulator and its containers, and delete the account."""
        self._end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            process = int(self._process.read_text())
            if not _is_emulator(process):
                raise ProcessLookupError
            os.kill(process, signal.SIGTERM)
            if child := _children.pop(process, None):
                child.wait()
            # Another command may have started it: poll until it is gone.
            while True:
                os.kill(process, 0)
                time.sleep(0.1)

    # --- Deployment ---------------------------------------------------------------------------

    def bootstrap(self) -> str:
        """Apply terraform/bootstrap and return Terraform's output.

        Afterwards the service's Terraform uses the bucket from bootstrap as its backend.
        """
        self._terraform(BOOTSTRAP, "init")
        given = ["-var=force_delete=true", f"-var=github_repository={EXAMPLE_REPOSITORY}"]
        given.append(f"-var=zone_id={self._zone_id()}")
        printed = self._terraform(
            BOOTSTRAP, "apply", "-auto-approve", f"-state={self._bootstrap_state}", *given
        )
        backend = self.directory / "backend.hcl"
        backend.write_text(self._bootstrap_output("backend_config"))
        with_backend(TERRAFORM, self._service.parent)
        self._terraform(self._service, "init", "-reconfigure", f"-backend-config={backend}")
        return printed

    def push(self, tag: str | None = None) -> str:
        """Tag the local images, and the collector's stand-in, for the emulated registry.

        Return the tag. By default it is a hash of the images' ids, so that a changed image gets a
        new tag. The emulated registry stores nothing: the emulated ECS finds images in the Docker
        engine, by name.
        """
        urls = self._bootstrap_output("repository_urls")
        inspect = ["docker", "image", "inspect", "--format", "{{.Id}}"]
        ids = "".join(run(*inspect, f"zama-{name}:local") for name in IMAGES)
        tag = tag or hashlib.sha256(ids.encode()).hexdigest()[:7]
        for name in IMAGES:
            run("docker", "tag", f"zama-{name}:local", f"{urls[f'zama-{name}']}:{tag}")
        collector = f"{urls['zama-collector']}:{_COLLECTOR_TAG}"
        run("docker", "build", "--tag", collector, str(STAND_INS / "collector"))
        return tag

    def apply(self, profile: Profile, **variables: object) -> str:
        """Apply the service and return what Terraform printed."""
        return self._terraform(
            self._service, "apply", "-auto-approve", *self._variables(profile, variables)
        )

    def plan(self, profile: Profile, **variables: object) -> str:
        """Plan the service and return the plan as text."""
        path = self._plan(profile)
        printed = self._terraform(
            self._service, "plan", f"-out={path}", *self._variables(profile, variables)
        )
        # The rest is what `terraform show` would print, which takes as long as the plan.
        lines = printed.splitlines(keepends=True)
        return "".join(line for line in lines if not _PROGRESS.match(line))

    def planned_types(self, profile: Profile) -> set[str]:
        """Return the types in the last plan; types of data sources begin with `data.`."""
        plan = json.loads(self._terraform(self._service, "show", "-json", self._plan(profile)))
        # Data sources that were read during planning are not among the changes.
        read = plan.get("prior_state", {}).get("values", {}).get("root_module", {})
        return {
            "data." * (one["mode"] == "data") + one["type"]
            for one in (*plan["resource_changes"], *read.get("resources", []))
        }

    def destroy(self, profile: Profile, **variables: object) -> str:
        """Destroy the service, from its state, and return what Terraform printed."""
        # A refresh would read every resource before its end.
        words = ["-auto-approve", "-refresh=false", *self._variables(profile, variables)]
        return self._terraform(self._service, "destroy", *words)

    def state(self) -> str:
        """Return the service's state."""
        return self._terraform(self._service, "state", "pull")

    def outputs(self) -> dict[str, Any]:
        """Return the service's outputs."""
        outputs = json.loads(self._terraform(self._service, "output", "-json"))
        return {name: output["value"] for name, output in outputs.items()}

    def state_bucket(self) -> str:
        """Return the name of the state bucket that terraform/bootstrap created."""
        return str(self._bootstrap_output("state_bucket"))

    def graph(self) -> str:
        """Return the resource dependencies, in Graphviz's language."""
        return self._terraform(self._service, "graph")

    def wait_until_served(self, url: str) -> None:
        """Wait until the service is ready behind its load balancer.

        First ask for its targets' health: a request without a healthy target counts as an error.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self._has_healthy_target() and time.monotonic() < deadline:
            time.sleep(0.5)
        while (answer := self._readiness(url)) != "200":
            if time.monotonic() > deadline:
                raise CommandError(f"{url} is not ready: {answer}")
            time.sleep(0.5)

    def _has_healthy_target(self) -> bool:
        elbv2 = self.client("elbv2")
        return any(
            target["TargetHealth"]["State"] == "healthy"
            for group in elbv2.describe_target_groups()["TargetGroups"]
            for target in elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
                "TargetHealthDescriptions"
            ]
        )

    def _readiness(self, url: str) -> str:
        """Return the status of /readyz, or the error."""
        try:
            return str(HttpClient(url, connect_to=self.address(url)).send("GET", "/readyz").status)
        except NoAnswerError as error:
            return str(error)

    def curl(self, url: str) -> str:
        """Return a curl command that works without AWS's DNS."""
        insecure = "-k " if url.startswith("https:") else ""
        return (
            f"curl -s {insecure}--connect-to ::{self.address(url)} -H 'X-Api-Key: {EXAMPLE_KEY}'"
            f""" -H 'Content-Type: application/json' -d '{{"a": 2, "b": 40}}' {url}/sum"""
        )

    def address(self, url: str) -> str:
        """Return the emulator's host and port for a URL that AWS would serve."""
        return f"127.0.0.1:{self.port + url.startswith('https:')}"

    # --- Terraform ----------------------------------------------------------------------------

    def _plan(self, profile: Profile) -> str:
        return str(self.directory / f"{profile}.tfplan")

    def _variables(self, profile: Profile, variables: Mapping[str, object]) -> list[str]:
        own: dict[str, object] = {"region": self.environ()["AWS_REGION"]}
        if profile == "production":
            own["domain"] = {"name": _DOMAIN, "zone_id": self._zone_id()}
            own["alarm_email"] = "oncall@zama.example"
            own["grafana_access"] = {"ADMIN": {"group_ids": [_OPERATORS]}}
            # Otherwise `destroy` fails.
            own["deletion_protection_enabled"] = False
        given = [
            f"-var={name}={value if isinstance(value, str) else json.dumps(value)}"
            for name, value in {**own, **variables}.items()
        ]
        return [f"-var-file=profiles/{profile}.tfvars", *given]

    def _zone_id(self) -> str:
        """Return the id of the hosted zone, which a real site creates before it deploys."""
        route53 = self.client("route53")
        name = _DOMAIN.partition(".")[2]
        zones = route53.list_hosted_zones_by_name(DNSName=name)["HostedZones"]
        if not zones:
            zones = [route53.create_hosted_zone(Name=name, CallerReference=name)["HostedZone"]]
        return str(zones[0]["Id"].removeprefix("/hostedzone/"))

    def _bootstrap_output(self, name: str) -> Any:
        # From the file, because `terraform output` first checks the provider's hash for a second.
        return json.loads(self._bootstrap_state.read_text())["outputs"][name]["value"]

    def _terraform(self, folder: Path, verb: str, *words: str) -> str:
        as_workflow = self.as_workflow and folder == self._service
        environ = {
            **(self.workflow_environ() if as_workflow else self.environ()),
            "TF_DATA_DIR": str(self.directory / folder.name),
            "TF_CLI_ARGS": "",
            "TF_VAR_api_key_value": f"default={EXAMPLE_KEY}",
        }
        plain = ["-no-color"] if verb not in {"graph", "state"} else []
        try:
            place = self._bootstrap if folder == BOOTSTRAP else folder
            return Terraform(place, environ).ask(verb, *plain, *words)
        except CommandError as error:
            if not self._log.exists():
                raise
            # A temporary account deletes its log when it ends.
            lines = self._log.read_text().splitlines()[-_LOG_LINES:]
            raise CommandError(
                "\n".join([str(error), "The emulator's log ends with:", *lines])
            ) from None

    @property
    def _service(self) -> Path:
        return self.directory / "service" / TERRAFORM.name

    @property
    def _bootstrap(self) -> Path:
        """terraform/bootstrap without its backend.tf, which belongs to a real account."""
        folder = self.directory / "once" / BOOTSTRAP.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("*.tf", "*.json", ".terraform.lock.hcl"):
            for path in BOOTSTRAP.glob(name):
                if path.name != "backend.tf" and not (folder / path.name).is_symlink():
                    (folder / path.name).symlink_to(path)
        return folder

    @property
    def _bootstrap_state(self) -> Path:
        return self.directory / "bootstrap.tfstate"

    @property
    def _log(self) -> Path:
        return self.directory / "emulator.log"

    @property
    def _process(self) -> Path:
        return self.directory / "emulator.pid"


@contextlib.contextmanager
def temporary_account(
    saved: Path | None = None, *, as_workflow: bool = False
) -> Iterator[EmulatedAccount]:
    """Run an emulator on free ports during the block; for `saved` see `EmulatedAccount.start`."""
    with tempfile.TemporaryDirectory(prefix="zama-aws-") as parent:
        account = EmulatedAccount(Path(parent) / "account", free_port(_PORTS), as_workflow)
        account.start(saved)
        try:
            yield account
        finally:
            account.stop()


def _is_emulator(process: int) -> bool:
    """Say whether the process is an emulator: its id may have been reused."""
    # -ww: do not truncate to the terminal's width.
    return _EMULATOR in complete("ps", "-ww", "-o", "args=", "-p", str(process)).stdout


@functools.cache
def _endpoint_setting(service: str) -> str:
    """Return the SDKs' setting for a service's endpoint, which names the service by its id.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    service_id = session().get_service_model(service).service_id
    return f"AWS_ENDPOINT_URL_{service_id.hyphenize().upper().replace('-', '_')}"


@functools.cache
def _environment(port: int) -> Mapping[str, str]:
    settings = run(sys.executable, "-m", _EMULATOR, "--environment", f"--port={port}")
    environ: dict[str, str] = json.loads(settings)
    return environ
