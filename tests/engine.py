"""A Docker engine, and the project's images built with it."""

import contextlib
import fcntl
import functools
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from zama_ops.container_images import base_images
from zama_ops.paths import ROOT
from zama_ops.programs import complete, run

API_IMAGE: Final = "zama-api:local"
NGINX_IMAGE: Final = "zama-nginx:local"
# A second tag for these images, because commands under test may move the documented tags.
TAG: Final = "test"


@functools.cache
def is_there() -> bool:
    if not (shutil.which("docker") and shutil.which("docker-compose")):
        return False
    return complete("docker", "info").returncode == 0


@contextlib.contextmanager
def turn(lock: Path) -> Iterator[None]:
    """Let one process at a time run the block."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Images:
    """The built images; `bases` maps build arguments to base images."""

    bases: dict[str, str]

    def arguments(self) -> list[str]:
        return [word for base in self.bases.items() for word in ("--build-arg", "=".join(base))]


def documented(program: str) -> list[list[str]]:
    """Return the commands of docs/deploy.md that begin with `program`, each split into words.

    Commands with shell variables are left out.
    """
    lines = re.findall(
        rf"^({program} [^$\n]*)$", (ROOT / "docs" / "deploy.md").read_text(), re.MULTILINE
    )
    return [shlex.split(line) for line in lines]


def build() -> Images:
    """Build both images with the documented commands, on base images available here."""
    images = Images(base_images())
    with ThreadPoolExecutor() as pool:
        builds = [
            pool.submit(run, docker, verb, *images.arguments(), *rest)
            for docker, verb, *rest in documented("docker build")
        ]
    for build in builds:
        build.result()
    for image in (API_IMAGE, NGINX_IMAGE):
        run("docker", "tag", image, image.replace(":local", f":{TAG}"))
    return images


def inspect(*names: str) -> Any:
    """Return the engine's descriptions of containers or images."""
    return json.loads(run("docker", "inspect", *names))


def stamp() -> str:
    """Return a name that no concurrent test run uses."""
    return f"zama-test-{os.getpid()}-{time.monotonic_ns()}"
