"""Git commits and checkouts."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zama_ops.programs import run


def commit() -> str:
    """Return the checked-out commit."""
    return run("git", "rev-parse", "HEAD").strip()


def image_tag(revision: str) -> str:
    """Return the tag of a commit's images."""
    return revision[:7]


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Yield a temporary folder with the repository at a commit."""
    with tempfile.TemporaryDirectory(prefix="zama-checkout-") as parent:
        folder = Path(parent) / "checkout"
        run("git", "worktree", "add", "--detach", str(folder), revision)
        try:
            yield folder
        finally:
            run("git", "worktree", "remove", "--force", str(folder))
