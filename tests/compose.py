"""The API and the gateway as containers of the project's compose file."""

import signal
import subprocess
from dataclasses import dataclass, field

from engine import TAG, Images, stamp
from stack import Part, Stack, with_defaults
from zama_ops.container_images import compose
from zama_ops.http_client import HttpClient
from zama_ops.programs import free_port, run, wait_until

# Containers wait for each other's health checks.
START_SECONDS = 30
FILE = "docker-compose.yaml"
# The engine starts a process for each health check, which costs more CPU than the service at rest.
WITHOUT_HEALTH_CHECKS = "tests/without-health-checks.yaml"


@dataclass
class Container(Part):
    """An API or a gateway as a container."""

    url: str
    id: str

    def signal(self, number: signal.Signals) -> None:
        run("docker", "kill", "--signal", number.name, self.id)

    def wait(self) -> int:
        return int(run("docker", "wait", self.id))

    def output(self) -> bytes:
        return self._logs().stdout

    def errors(self) -> bytes:
        return self._logs().stderr

    def _logs(self) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["docker", "logs", self.id], capture_output=True, check=True)


@dataclass
class Project:
    """One `docker-compose up` with its own name and ports."""

    settings: dict[str, str]
    health_checks: bool = True
    name: str = field(default_factory=stamp)
    api_port: int = field(default_factory=free_port)
    gateway_port: int = field(default_factory=free_port)

    def up(self, service: str, port: int) -> Container:
        # The gateway depends on the API's health check.
        alone = [] if self.health_checks else ["--no-deps"]
        self._compose("up", "-d", "--no-build", *alone, service)
        (identity,) = self._containers(f"--filter=label=com.docker.compose.service={service}")
        container = Container(f"http://127.0.0.1:{port}", identity)
        wait_until(
            lambda: HttpClient(container.url).is_ready("/healthz"),
            f"{service} answers",
            START_SECONDS,
        )
        return container

    def start(self) -> None:
        self.up("api", self.api_port)
        self.up("nginx", self.gateway_port)

    def stop(self) -> None:
        """Stop both containers as compose does: after requests in flight, the gateway first."""
        self._compose("stop")

    def down(self) -> None:
        """Remove the containers and the network, in an eighth of the time of compose's `down`."""
        if containers := self._containers():
            run("docker", "rm", "--force", "--volumes", *containers)
        # Not `prune`: the engine refuses a second one at the same time.
        if networks := run("docker", "network", "ls", "--quiet", self._own).split():
            run("docker", "network", "rm", *networks)

    @property
    def _own(self) -> str:
        return f"--filter=label=com.docker.compose.project={self.name}"

    def _containers(self, *filters: str) -> list[str]:
        # By label: the format of compose's names differs between versions, and `ps` of version 1
        # takes half a second of CPU.
        return run("docker", "ps", "--all", "--quiet", "--no-trunc", self._own, *filters).split()

    def _compose(self, *words: str) -> str:
        files = [FILE] if self.health_checks else [FILE, WITHOUT_HEALTH_CHECKS]
        own = {
            "COMPOSE_FILE": ":".join(files),
            "IMAGE_TAG": TAG,
            "API_PORT_PUBLISHED": str(self.api_port),
            "GATEWAY_PORT_PUBLISHED": str(self.gateway_port),
        }
        return run(*compose(), "--project-name", self.name, *words, **own, **self.settings)


@dataclass
class ComposeStack(Stack):
    """Runs the API and the gateway as `docker-compose up` does."""

    images: Images
    health_checks: bool = True
    projects: list[Project] = field(default_factory=list)

    def start_api(self, **settings: str) -> Container:
        project = Project(with_defaults(settings), self.health_checks)
        self.projects.append(project)
        return project.up("api", project.api_port)

    def start_gateway(self, api: Part, **settings: str) -> Container:
        (project,) = (one for one in self.projects if str(one.api_port) in api.url)
        project.settings.update(settings)
        return project.up("nginx", project.gateway_port)

    def __exit__(self, *_: object) -> None:
        for project in self.projects:
            project.down()
