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

from zama_ops.container_images import IMAGES, base_images, build_options, compose
from zama_ops.paths import ROOT
from zama_ops.programs import complete, run

API_IMAGE: Final = "zama-api:local"
NGINX_IMAGE: Final = "zama-nginx:local"
# A second tag for these images, because commands under test may move the documented tags.
TAG: Final = "test"


@functools.cache
def is_there() -> bool:
    if not shutil.which("docker"):
        return False
    commands = (["docker", "info"], [*compose(), "version"])
    return all(complete(*command).returncode == 0 for command in commands)


@contextlib.contextmanager
def turn(lock: Path) -> Iterator[None]:
    """Let one process at a time run the block."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Images:
    """The built images.

    `bases` maps build arguments to base images, and `settings` also has docker-compose's for
    stand-ins.
    """

    settings: dict[str, str]

    @property
    def bases(self) -> dict[str, str]:
        return {name: self.settings[name] for name in IMAGES.values()}


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
            # Of two values, Docker uses the last.
            pool.submit(run, *command, *build_options(command[-1].rpartition("/")[2]))
            for command in documented("docker build")
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
