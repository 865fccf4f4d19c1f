"""The content of the images."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from engine import API_IMAGE, NGINX_IMAGE, Images, inspect, stamp
from stack import JSON, KEY, Report, send
from zama_ops.container_images import build_options
from zama_ops.http_client import HttpClient
from zama_ops.programs import complete, free_port, run, wait_until

pytestmark = pytest.mark.usefixtures("images")
both = pytest.mark.parametrize("image", [API_IMAGE, NGINX_IMAGE])


def inside(image: str, *command: str) -> str:
    """Run a command in an image, in place of the image's own."""
    program, *arguments = command
    return run(
        *("docker", "run", "--rm", "--user", "0", "--entrypoint", program, image), *arguments
    )


def config(image: str) -> Any:
    return inspect(image)[0]["Config"]


@contextlib.contextmanager
def serving(container_port: str, *options_and_image: str) -> Iterator[str]:
    """Run an image while the block runs; yield its URL."""
    name, port = stamp(), free_port()
    published = f"127.0.0.1:{port}:{container_port}"
    run("docker", "run", "-d", "--rm", "--name", name, "-p", published, *options_and_image)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: HttpClient(url).is_ready("/healthz"), "the image answers")
        yield url
    finally:
        run("docker", "rm", "-f", name)


@both
def test_the_user_is_fixed_and_not_root(image: str) -> None:
    """The user is a number, so that a runtime can check that it is not root."""
    user, group = config(image)["User"].split(":")
    assert int(user) > 0
    assert int(group) > 0


@both
def test_the_stop_signal_starts_a_drain(image: str) -> None:
    """The official nginx image uses SIGQUIT, which would stop it without a drain."""
    assert config(image)["StopSignal"] == "SIGTERM"


@both
def test_no_build_or_install_tools_are_left(image: str) -> None:
    """The image has no compiler, no pip and no package cache."""
    names = ["pip", "pip3", "gcc", "cc", "make", "ensurepip", "setuptools", "uv"]
    wanted = [word for name in names for word in ("-o", "-name", name)][1:]
    not_programs = ["-not", "-path", "/proc/*", "-not", "-path", "/usr/share/*"]
    found = inside(image, "find", "/", "-xdev", "(", *wanted, ")", *not_programs)
    assert found == ""
    caches = ["/var/lib/apt/lists", "/var/cache/apt", "/var/cache/apk"]
    listing = inside(image, "sh", "-c", f"find {' '.join(caches)} -type f 2>/dev/null || true")
    assert listing == ""


@both
def test_no_user_can_change_files(image: str) -> None:
    """Only sticky folders such as /tmp are writable for all users."""
    writable = ["-perm", "-0002", "-not", "-type", "l", "-not", "-perm", "-1000"]
    found = inside(image, "find", "/", "-xdev", *writable).split()
    assert [path for path in found if not path.startswith(("/dev/", "/proc/"))] == []


@pytest.mark.parametrize(("image", "folder"), [(API_IMAGE, "/app"), (NGINX_IMAGE, "/gateway")])
def test_the_program_belongs_to_root(image: str, folder: str) -> None:
    """The service's user cannot change its code or configuration."""
    assert inside(image, "find", folder, "-not", "-user", "0") == ""


@both
@pytest.mark.usefixtures("images")
def test_no_secret_of_the_builder_is_in_the_image(image: str) -> None:
    """History, layers and labels contain nothing from the build's environment."""
    canary = "canary-5f2d8c1e"
    folder = "api" if image == API_IMAGE else "nginx"
    tag = f"{image}-canary"
    build = ["docker", "build", "-t", tag, *build_options(folder)]
    run(*build, f"./services/{folder}", API_KEY=canary, API_KEYS=f"acme={canary}")
    history = run("docker", "history", "--no-trunc", tag)
    assert "API_KEY" not in history.replace("REQUIRE_API_KEY", "")
    assert "API_KEY" not in json.dumps(config(tag))
    with subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE) as saving:
        assert saving.stdout
        tail = b""
        while chunk := saving.stdout.read(1 << 20):
            assert canary.encode() not in tail + chunk
            tail = chunk[-len(canary) :]
    run("docker", "rmi", tag)


@pytest.mark.usefixtures("images")
def test_the_version_is_part_of_the_image() -> None:
    """The label, `/healthz` and `build_info` show the built version."""
    tag = f"{API_IMAGE}-version"
    build = ["docker", "build", "-t", tag, *build_options("api"), "--build-arg", "VERSION=7.8.9"]
    run(*build, "--build-arg", "REVISION=0123abc", "./services/api")
    labels = config(tag)["Labels"]
    assert labels["org.opencontainers.image.version"] == "7.8.9"
    assert labels["org.opencontainers.image.revision"] == "0123abc"
    assert labels["org.opencontainers.image.title"] == "zama-api"

    with serving("8080", tag) as url:
        assert send(url, path="/healthz").json()["version"] == "7.8.9"
        metrics = send(url, path="/metrics").body
        assert b'version="7.8.9"' in metrics
    run("docker", "rmi", tag)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--entrypoint", "nginx", NGINX_IMAGE], "nginx.conf"),
        ([NGINX_IMAGE], "API_KEY"),
        (["-e", f"API_KEY={KEY}", "-e", "RATE_LIMIT=fast", NGINX_IMAGE], "RATE_LIMIT"),
        (["-e", f"API_KEY={KEY}", "--read-only", NGINX_IMAGE], "mktemp"),
    ],
)
def test_the_gateway_does_not_serve_without_a_rendered_configuration(
    options: list[str], said: str
) -> None:
    """Without a rendered configuration it exits and names the reason."""
    done = complete("docker", "run", "--rm", *options)
    assert done.returncode != 0
    assert said in done.stderr


def test_port_80_needs_no_privilege() -> None:
    """The default port works without capabilities on a read-only root."""
    hardened = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"]
    needed = ["--tmpfs", "/tmp", "-e", f"API_KEY={KEY}"]  # noqa: S108 - the container's
    with serving("80", *hardened, *needed, NGINX_IMAGE) as url:
        assert send(url, "POST", "/sum", JSON).status == 401


@both
def test_sizes(image: str, images: Images, report: Report) -> None:
    """The image adds little to its base; the report has both sizes."""
    base = images.bases["PYTHON_IMAGE" if image == API_IMAGE else "NGINX_IMAGE"]
    sizes = [described["Size"] / 1e6 for described in inspect(image, base)]
    report(f"{image}: {sizes[0]:.0f} MB, {sizes[0] - sizes[1]:.1f} MB of it on top of {base}")
    assert sizes[0] - sizes[1] < 40
