"""The README's `docker` and `docker-compose` commands work unchanged, or as `docker compose`."""

import shlex
import subprocess
from collections.abc import Iterator

import pytest

from engine import Images, stamp
from readme import block
from stack import send
from zama_ops.container_images import compose
from zama_ops.contract_checks import SUM
from zama_ops.http_client import HttpClient
from zama_ops.programs import complete, run, wait_until


@pytest.fixture
def environ(images: Images) -> Iterator[dict[str, str]]:
    """Return compose's settings: base images and a separate project name."""
    environ = {**images.settings, "COMPOSE_PROJECT_NAME": stamp()}
    yield environ
    run(*compose(), "down", **environ)


def test_the_compose_commands_work_in_order(environ: dict[str, str]) -> None:
    """Start, three requests and stop, pasted one by one, give the documented results."""

    def sh(line: str) -> str:
        done = complete("sh", "-c", line, **environ)
        return done.stdout if done.returncode == 0 else ""

    up, healthz, readyz, post_sum, down = block("docker-compose up").splitlines()
    assert up == "docker-compose up -d --build"
    assert down == "docker-compose down"
    run(*compose(), *shlex.split(up)[1:], **environ)
    wait_until(lambda: '"ok"' in sh(healthz), healthz)
    wait_until(lambda: sh(readyz) == '{"status":"ready"}', readyz)
    assert sh(post_sum) == '{"sum":42}'
    run(*compose(), *shlex.split(down)[1:], **environ)
    assert run("docker", "ps", "-aq", f"--filter=name={environ['COMPOSE_PROJECT_NAME']}") == ""


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("image", "url", "path", "status"),
    [
        ("zama-api:local", "http://127.0.0.1:8080", "/sum", 200),
        ("zama-nginx:local", "http://127.0.0.1:8081", "/sum", 401),
    ],
)
def test_each_image_runs_by_itself(image: str, url: str, path: str, status: int) -> None:
    """`docker run` serves on the documented port, and Ctrl-C stops it with exit code 0."""
    lines = block("docker build -t").splitlines()
    (line,) = (one for one in lines if one.startswith("docker run ") and one.endswith(image))
    with subprocess.Popen(shlex.split(line), stdout=subprocess.DEVNULL) as running:
        try:
            wait_until(lambda: HttpClient(url).is_ready("/healthz"), line)
            headers = {"Content-Type": "application/json"}
            assert send(url, "POST", path, headers, SUM).status == status
        finally:
            running.terminate()
        assert running.wait(30) == 0
