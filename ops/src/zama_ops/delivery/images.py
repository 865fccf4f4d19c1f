"""`zama images`: from a commit to images that are scanned, pushed and signed."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from zama_ops.aws import client
from zama_ops.console import errors_told, notes, step
from zama_ops.container_images import BASE_LABEL, IMAGES, build_images, repositories
from zama_ops.errors import CommandError
from zama_ops.git import commit, image_tag
from zama_ops.paths import BUILD, ROOT
from zama_ops.programs import run

_PUSHED: Final = BUILD / "images.json"

app: Final = typer.Typer(help="From a commit to signed images.", no_args_is_help=True)


@app.command()
def build() -> None:
    """Build zama-api:local and zama-nginx:local, which know the commit that they are of."""
    with errors_told(), step("Building the images"):
        revision = commit()
        created = run("git", "show", "--no-patch", "--format=%cI", revision).strip()
        build_images(VERSION=image_tag(revision), REVISION=revision, CREATED=created)


@app.command()
def sbom() -> None:
    """Write what is in the images to build/zama-*.cdx.json, in CycloneDX's form."""
    BUILD.mkdir(exist_ok=True)
    with errors_told():
        for name in IMAGES:
            with step(f"Listing what is in zama-{name}"):
                output = f"cyclonedx-json={_sbom(name)}"
                run("syft", "scan", "--quiet", "--output", output, f"docker:zama-{name}:local")


@app.command()
def scan(
    *,
    grype: Annotated[str, typer.Option(envvar="GRYPE", help="The Grype to run.")] = "grype",
) -> None:
    """Look up what is in the images; write build/zama-*.sarif.

    Exit code 1: something has a vulnerability that is high or critical; both lists are complete.
    """
    with errors_told():
        if not shutil.which(grype):
            raise CommandError(f"There is no {grype} on the PATH: github.com/anchore/grype.")
        found = [name for name in IMAGES if not _is_clean(name, grype)]
    if found:
        raise typer.Exit(1)


def _is_clean(name: str, grype: str) -> bool:
    notes.print(f"zama-{name}:")
    sarif = BUILD / f"zama-{name}.sarif"
    outputs = ["--output", "table", "--output", f"sarif={sarif}"]
    command = [grype, f"sbom:{_sbom(name)}", "--fail-on", "high", *outputs]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code not in {0, 2}:
        raise CommandError(f"Grype could not scan zama-{name}; see above.")
    return code == 0


@app.command()
def push() -> None:
    """Push the images to ECR; write build/images.json, and the same to GITHUB_OUTPUT.

    A tag that is there already stays: an earlier attempt has scanned and pushed it.
    """
    with errors_told():
        tag = image_tag(commit())
        pushed = {}
        for name, url in repositories().items():
            with step(f"Pushing {url}:{tag}"):
                pushed[name] = {"repository": url, "digest": _push(name, url, tag)}
    BUILD.mkdir(exist_ok=True)
    _PUSHED.write_text(json.dumps(pushed, indent=2) + "\n")
    outputs = {"digests": json.dumps({name: one["digest"] for name, one in pushed.items()})}
    for name, image in pushed.items():
        outputs |= {f"{name}-{key}": text for key, text in image.items()}
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a") as file:
            file.writelines(f"{name}={text}\n" for name, text in outputs.items())


def _push(name: str, url: str, tag: str) -> str:
    """Return the digest of what has the tag now."""
    digest = _digest(name, tag)
    if digest is None:
        _refuse_stand_in(name)
        run("docker", "tag", f"zama-{name}:local", f"{url}:{tag}")
        run("docker", "push", "--quiet", f"{url}:{tag}")
        digest = _digest(name, tag)
    if digest is None:
        raise CommandError(f"{url}:{tag} was pushed, and is not there.")
    return digest


def _refuse_stand_in(name: str) -> None:
    """See that an image is built on the base that its Dockerfile pins."""
    label = f'{{{{index .Config.Labels "{BASE_LABEL}"}}}}'
    base = run("docker", "image", "inspect", "--format", label, f"zama-{name}:local").strip()
    if "@sha256:" not in base:
        raise CommandError(
            f"zama-{name}:local is built on {base or 'nobody knows what'}: no image to push."
            " `zama images build` takes the pinned base where its registry answers."
        )


def _digest(name: str, tag: str) -> str | None:
    with client("ecr") as ecr:
        found = ecr.batch_get_image(repositoryName=f"zama-{name}", imageIds=[{"imageTag": tag}])
    return next((str(one["imageId"]["imageDigest"]) for one in found["images"]), None)


@app.command()
def sign() -> None:
    """Sign each pushed digest, and that the list of its parts is its; within a workflow only.

    Keyless: GitHub vouches for the workflow, Sigstore notes it publicly.
    """
    with errors_told():
        for name, image in _pushed_images().items():
            with step(f"Signing {image}"):
                run("cosign", "sign", "--yes", image)
                predicate = ["--type", "cyclonedx", "--predicate", str(_sbom(name))]
                run("cosign", "attest", "--yes", *predicate, image)


def _pushed_images() -> dict[str, str]:
    """Return the pushed images as REPOSITORY@DIGEST, by their names.

    Raises:
        CommandError: nothing was pushed.

    """
    try:
        pushed: dict[str, dict[str, Any]] = json.loads(_PUSHED.read_text())
    except FileNotFoundError:
        raise CommandError("There is no build/images.json: `zama images push` writes it.") from None
    return {name: f"{image['repository']}@{image['digest']}" for name, image in pushed.items()}


def _sbom(name: str) -> Path:
    return BUILD / f"zama-{name}.cdx.json"
