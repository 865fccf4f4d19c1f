"""The commands of the README and its pages."""

import re
from typing import Final

from zama_ops.paths import ROOT

PAGES: Final = (
    *("README.md", "docs/calling.md", "docs/deploy.md", "docs/github.md", "docs/operating.md"),
)
BLOCKS: Final[list[str]] = [
    block
    for page in PAGES
    for block in re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
]


def block(beginning: str) -> str:
    return next(block for block in BLOCKS if block.startswith(beginning))


def commands_for_aws() -> str:
    """Return the lines of the blocks from bootstrap to the first request."""
    first = BLOCKS.index(block("export AWS_REGION"))
    return "".join(BLOCKS[first : first + 3])
