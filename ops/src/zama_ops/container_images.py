"""The service's two images: their base images and their registry."""

import functools
import json
import shutil
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
    """Return the base images available to this machine, by build argument.

    If they are stand-ins, PYTHON_DOCKERFILE and NGINX_DOCKERFILE are the files to build with.
    """
    lines = run(str(STAND_INS / "base-images")).split()
    return dict(line.split("=", 1) for line in lines)


def build_options(name: str) -> list[str]:
    """Return the options of `docker build` for an image on this machine's base."""
    argument = IMAGES[name]
    bases = base_images()
    file = bases.get(argument.replace("IMAGE", "DOCKERFILE"), f"services/{name}/Dockerfile")
    return ["--file", file, "--build-arg", f"{argument}={bases[argument]}"]


def build_images(*options: str, **labels: str) -> None:
    """Build both images on the base images available to this machine.

    VERSION, REVISION and CREATED label them with their origin; `options` are docker's.
    """
    for name, argument in IMAGES.items():
        words = [word for one in labels.items() for word in ("--build-arg", "=".join(one))]
        words += ["--label", f"{BASE_LABEL}={base_images()[argument]}", *build_options(name)]
        words += options
        run("docker", "build", "--tag", f"zama-{name}:local", *words, f"services/{name}")


def compose() -> list[str]:
    """Return the command of docker-compose, whose version 2 is a plugin of docker."""
    return ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


def repositories() -> dict[str, str]:
    """Return the repositories' URLs, by image name."""
    with client("ecr") as ecr:
        response = ecr.describe_repositories(repositoryNames=[f"zama-{name}" for name in IMAGES])
    return {
        one["repositoryName"].removeprefix("zama-"): str(one["repositoryUri"])
        for one in sorted(response["repositories"], key=lambda one: str(one["repositoryName"]))
    }


def image_digests(text: str) -> dict[str, str]:
    """Return the digests in IMAGE_DIGESTS, by image name; Terraform validates them."""
    try:
        return {name: str(json.loads(text)[name]) for name in IMAGES}
    except (ValueError, KeyError, TypeError):
        example = '{"api":"sha256:…","nginx":"sha256:…"}'
        raise CommandError(f"IMAGE_DIGESTS is {text!r}; expected {example}.") from None


def digest(name: str, tag: str) -> str | None:
    """Return the digest of a tag in ECR, or None if there is no such tag."""
    image = _image(name, imageTag=tag)
    return image and str(image["imageId"]["imageDigest"])


def keep(digests: Mapping[str, str], tag: str) -> None:
    """Tag images in ECR as deployed, by image name and digest.

    The lifecycle rules of terraform/bootstrap/ecr.tf keep images with this tag.
    """
    for name, one in digests.items():
        add_tag(name, one, f"deployed-{tag}")


def add_tag(name: str, identity: str, tag: str) -> None:
    """Tag the image with this digest in ECR, unless it has the tag.

    Raises:
        CommandError: ECR has no such image, or another one has the tag.

    """
    image = _image(name, imageDigest=identity)
    if image is None:
        raise CommandError(
            f"ECR has no zama-{name}@{identity}: it was never pushed, or has expired. Plan a commit"
            " whose images ci.yml has pushed."
        )
    found = digest(name, tag)
    if found == identity:
        return
    if found:
        raise CommandError(f"zama-{name}:{tag} is already {found}. Run ci.yml for a new commit.")
    with client("ecr") as ecr:
        ecr.put_image(
            repositoryName=f"zama-{name}",
            imageManifest=image["imageManifest"],
            imageManifestMediaType=image["imageManifestMediaType"],
            imageTag=tag,
        )


def _image(name: str, **identity: str) -> Any:
    with client("ecr") as ecr:
        response = ecr.batch_get_image(repositoryName=f"zama-{name}", imageIds=[identity])
    return next(iter(response["images"]), None)
