"""The service's two images: their base images and their registry."""

import functools
from typing import Final

from zama_ops.aws import client
from zama_ops.paths import STAND_INS
from zama_ops.programs import run

IMAGES: Final = {"api": "PYTHON_IMAGE", "nginx": "NGINX_IMAGE"}
"""The images, each with the build argument for its base image."""

BASE_LABEL: Final = "org.opencontainers.image.base.name"


@functools.cache
def base_images() -> dict[str, str]:
    """Return the base images available to this machine, by build argument."""
    lines = run(str(STAND_INS / "base-images")).split()
    return dict(line.split("=", 1) for line in lines)


def build_images(**labels: str) -> None:
    """Build both images on the base images available to this machine.

    VERSION, REVISION and CREATED label them with their origin.
    """
    bases = base_images()
    arguments = {**bases, **labels}
    for name, argument in IMAGES.items():
        words = [word for one in arguments.items() for word in ("--build-arg", "=".join(one))]
        words += ["--label", f"{BASE_LABEL}={bases[argument]}"]
        run("docker", "build", "--tag", f"zama-{name}:local", *words, f"services/{name}")


def repositories() -> dict[str, str]:
    """Return the repositories' URLs, by image name."""
    with client("ecr") as ecr:
        response = ecr.describe_repositories(repositoryNames=[f"zama-{name}" for name in IMAGES])
    return {
        one["repositoryName"].removeprefix("zama-"): str(one["repositoryUri"])
        for one in sorted(response["repositories"], key=lambda one: str(one["repositoryName"]))
    }
