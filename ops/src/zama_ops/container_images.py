"""The service's two images: their base images and their registry."""

import functools
from collections.abc import Mapping
from typing import Any, Final

from zama_ops.aws import client
from zama_ops.errors import CommandError
from zama_ops.paths import STAND_INS
from zama_ops.programs import run

IMAGES: Final = {"api": "PYTHON_IMAGE", "nginx": "NGINX_IMAGE"}
"""The images, each with the build argument for its base image."""

PLATFORM: Final = "linux/amd64"
"""The platform of the tasks: terraform/ecs.tf states the architecture as X86_64."""

BASE_LABEL: Final = "org.opencontainers.image.base.name"


@functools.cache
def base_images() -> dict[str, str]:
    """Return the base images available to this machine, by build argument."""
    lines = run(str(STAND_INS / "base-images")).split()
    return dict(line.split("=", 1) for line in lines)


def build_images(*options: str, **labels: str) -> None:
    """Build both images on the base images available to this machine.

    VERSION, REVISION and CREATED label them with their origin; `options` are docker's.
    """
    bases = base_images()
    arguments = {**bases, **labels}
    for name, argument in IMAGES.items():
        words = [word for one in arguments.items() for word in ("--build-arg", "=".join(one))]
        words += ["--label", f"{BASE_LABEL}={bases[argument]}", *options]
        run("docker", "build", "--tag", f"zama-{name}:local", *words, f"services/{name}")


def repositories() -> dict[str, str]:
    """Return the repositories' URLs, by image name."""
    with client("ecr") as ecr:
        response = ecr.describe_repositories(repositoryNames=[f"zama-{name}" for name in IMAGES])
    return {
        one["repositoryName"].removeprefix("zama-"): str(one["repositoryUri"])
        for one in sorted(response["repositories"], key=lambda one: str(one["repositoryName"]))
    }


def digest(name: str, tag: str) -> str | None:
    """Return the digest of a tag in ECR, or None if there is no such tag."""
    image = _image(name, imageTag=tag)
    return image and str(image["imageId"]["imageDigest"])


def keep(digests: Mapping[str, str], tag: str) -> None:
    """Tag images in ECR as deployed, by image name and digest.

    The lifecycle rules of terraform/bootstrap/ecr.tf keep images with this tag.
    """
    deployed = f"deployed-{tag}"
    for name, one in digests.items():
        image = _image(name, imageDigest=one)
        if image is None:
            raise CommandError(
                f"ECR has no zama-{name}@{one}: it was never pushed, or has expired. Plan a commit"
                " whose images ci.yml has pushed."
            )
        if digest(name, deployed) is None:
            with client("ecr") as ecr:
                ecr.put_image(
                    repositoryName=f"zama-{name}",
                    imageManifest=image["imageManifest"],
                    imageManifestMediaType=image["imageManifestMediaType"],
                    imageTag=deployed,
                )


def _image(name: str, **identity: str) -> Any:
    with client("ecr") as ecr:
        response = ecr.batch_get_image(repositoryName=f"zama-{name}", imageIds=[identity])
    return next(iter(response["images"]), None)
