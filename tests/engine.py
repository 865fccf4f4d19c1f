"""A Docker engine, and the project's images built on it."""

import contextlib
import fcntl
import functools
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zama_ops.container_images import base_images
from zama_ops.paths import ROOT
from zama_ops.programs import run

API_IMAGE: Final = "zama-api:local"
NGINX_IMAGE: Final = "zama-nginx:local"
# Of the same images: commands under test may give the documented names to others meanwhile.
TAG: Final = "test"


@functools.cache
def is_there() -> bool:
    """Say whether this machine has an engine, and docker-compose."""
    if not (shutil.which("docker") and shutil.which("docker-compose")):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def turn(lock: Path) -> Iterator[None]:
    """Let one process at a time run the block."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Images:
    """The built images; `bases` are those that they were built on, by build argument."""

    bases: dict[str, str]

    def arguments(self) -> list[str]:
        """Return the words by which `docker build` learns the base images."""
        return [word for base in self.bases.items() for word in ("--build-arg", "=".join(base))]


def documented(program: str) -> list[list[str]]:
    """Return the commands of docs/deploy.md that begin with `program`, each split into words.

    Only those that stand for themselves, not those of a script with variables.
    """
    lines = re.findall(
        rf"^({program} [^$\n]*)$", (ROOT / "docs" / "deploy.md").read_text(), re.MULTILINE
    )
    return [shlex.split(line) for line in lines]


def build() -> Images:
    """Build both images by the documented commands, on base images that this machine can have."""
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


def stamp() -> str:
    """Return a name that no other run of the tests uses at the same time."""
    return f"zama-test-{os.getpid()}-{time.monotonic_ns()}"
