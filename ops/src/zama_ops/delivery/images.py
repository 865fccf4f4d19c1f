"""`zama images`: build, scan, push, sign and publish a commit's images.

The images are pushed under a tag of the attempt. They get the tag of the commit last, so an image
with that tag is scanned, signed and attested, and no later build replaces it.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from zama_ops.console import errors_told, notes, step
from zama_ops.container_images import (
    BASE_LABEL,
    IMAGES,
    PLATFORM,
    add_tag,
    build_images,
    digest,
    image_digests,
    repositories,
)
from zama_ops.errors import CommandError
from zama_ops.git import commit, image_tag
from zama_ops.paths import BUILD, ROOT
from zama_ops.programs import run
from zama_ops.vulnerabilities import exceptions

_PUSHED: Final = BUILD / "images.json"
_GRYPE: Final = BUILD / "grype.yaml"
_ATTEMPT: Final = ("RUN_ID", "RUN_ATTEMPT")

app: Final = typer.Typer(
    help="Build, scan, push, sign and publish the images.", no_args_is_help=True
)


@app.command()
def build() -> None:
    """Build zama-api:local and zama-nginx:local for the tasks, labelled with the commit."""
    with errors_told(), step("Building the images"):
        revision = commit()
        created = run("git", "show", "--no-patch", "--format=%cI", revision).strip()
        labels = {"VERSION": image_tag(revision), "REVISION": revision, "CREATED": created}
        build_images(f"--platform={PLATFORM}", **labels)


@app.command()
def sbom() -> None:
    """Write each image's SBOM to build/zama-*.cdx.json, in CycloneDX format."""
    BUILD.mkdir(exist_ok=True)
    with errors_told():
        for name in IMAGES:
            with step(f"Writing the SBOM of zama-{name}"):
                output = f"cyclonedx-json={_sbom(name)}"
                run("syft", "scan", "--quiet", "--output", output, f"docker:zama-{name}:local")


@app.command()
def scan(
    *,
    grype: Annotated[str, typer.Option(envvar="GRYPE", help="The Grype command.")] = "grype",
) -> None:
    """Look up known vulnerabilities of the images' packages; write build/zama-*.sarif.

    Exit code 1: an image has a high or critical vulnerability. Both images are always scanned.
    """
    with errors_told():
        if not shutil.which(grype):
            raise CommandError(
                f"There is no {grype} on the PATH: install it from github.com/anchore/grype."
            )
        BUILD.mkdir(exist_ok=True)
        config = yaml.safe_load((ROOT / ".grype.yaml").read_text())
        config["ignore"] += [{"vulnerability": identity} for identity in exceptions()]
        _GRYPE.write_text(yaml.safe_dump(config))
        vulnerable = [name for name in IMAGES if not _is_clean(name, grype)]
    if vulnerable:
        raise typer.Exit(1)


def _is_clean(name: str, grype: str) -> bool:
    notes.print(f"zama-{name}:")
    sarif = BUILD / f"zama-{name}.sarif"
    outputs = ["--output", "table", "--output", f"sarif={sarif}"]
    command = [grype, f"--config={_GRYPE}", f"sbom:{_sbom(name)}", "--fail-on", "high", *outputs]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code not in {0, 2}:
        raise CommandError(f"Grype could not scan zama-{name}; see above.")
    return code == 0


@app.command()
def published() -> None:
    """Use the commit's images if an earlier attempt has published them, instead of building.

    GITHUB_OUTPUT gets `all`: `true`, or `false` if both have to be built.
    """
    with errors_told():
        urls = repositories()
        digests = _published(urls)
        _output({"all": str(bool(digests)).lower()})
        for name, digest in digests.items():
            image = f"{urls[name]}@{digest}"
            with step(f"Pulling {image}"):
                run("docker", "pull", "--quiet", image)
                run("docker", "tag", image, f"zama-{name}:local")


def _published(names: Iterable[str]) -> dict[str, str]:
    """Return the digests of the commit's images, or nothing if one is missing."""
    tag = image_tag(commit())
    digests = {name: digest(name, tag) for name in names}
    return {name: digest for name, digest in digests.items() if digest and all(digests.values())}


@app.command()
def push() -> None:
    """Push the images to ECR, tagged with this attempt, unless the commit's are published.

    The digests go to build/images.json and GITHUB_OUTPUT.
    """
    with errors_told():
        attempt = "-".join(os.environ.get(f"GITHUB_{name}", "0") for name in _ATTEMPT)
        urls = repositories()
        digests = _published(urls)
        if not digests:
            tag = f"{image_tag(commit())}-{attempt}"
            for name, url in urls.items():
                with step(f"Pushing {url}:{tag}"):
                    digests[name] = _push(name, url, tag)
    images = {name: {"repository": url, "digest": digests[name]} for name, url in urls.items()}
    BUILD.mkdir(exist_ok=True)
    _PUSHED.write_text(json.dumps(images, indent=2) + "\n")
    outputs = {"digests": json.dumps(digests)}
    for name, image in images.items():
        outputs |= {f"{name}-{key}": text for key, text in image.items()}
    _output(outputs)


def _output(outputs: Mapping[str, str]) -> None:
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a") as file:
            file.writelines(f"{name}={text}\n" for name, text in outputs.items())


def _push(name: str, url: str, tag: str) -> str:
    """Push an image and return its digest."""
    _refuse_stand_in(name)
    run("docker", "tag", f"zama-{name}:local", f"{url}:{tag}")
    run("docker", "push", "--quiet", f"{url}:{tag}")
    pushed = digest(name, tag)
    if pushed is None:
        raise CommandError(f"{url}:{tag} was pushed, but ECR does not have it.")
    return pushed


@app.command()
def publish(
    *,
    digests: Annotated[str, typer.Option(envvar="IMAGE_DIGESTS", help="As `push` wrote them.")],
) -> None:
    """Tag the scanned, signed and attested digests in ECR with their commit."""
    with errors_told():
        tag = image_tag(commit())
        for name, digest in image_digests(digests).items():
            with step(f"Publishing zama-{name}:{tag}"):
                add_tag(name, digest, tag)


def _refuse_stand_in(name: str) -> None:
    """Raise an error unless the image has the base that its Dockerfile pins."""
    label = f'{{{{index .Config.Labels "{BASE_LABEL}"}}}}'
    base = run("docker", "image", "inspect", "--format", label, f"zama-{name}:local").strip()
    if "@sha256:" not in base:
        raise CommandError(
            f"zama-{name}:local is built on {base or 'an unknown base'} and cannot be pushed. Run"
            " `zama images build` on a machine that can pull the pinned base."
        )


@app.command()
def sign() -> None:
    """Sign each pushed digest and attest its SBOM; works only in a GitHub workflow.

    Signing is keyless: GitHub confirms the workflow's identity, and Sigstore logs it publicly.
    """
    with errors_told():
        for name, image in _pushed_images().items():
            with step(f"Signing {image}"):
                run("cosign", "sign", "--yes", image)
                predicate = ["--type", "cyclonedx", "--predicate", str(_sbom(name))]
                run("cosign", "attest", "--yes", *predicate, image)


def _pushed_images() -> dict[str, str]:
    try:
        pushed: dict[str, dict[str, Any]] = json.loads(_PUSHED.read_text())
    except FileNotFoundError:
        raise CommandError("There is no build/images.json: `zama images push` writes it.") from None
    return {name: f"{image['repository']}@{image['digest']}" for name, image in pushed.items()}


def _sbom(name: str) -> Path:
    return BUILD / f"zama-{name}.cdx.json"
