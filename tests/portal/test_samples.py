"""The quick start's samples, as the page shows them."""

import html
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from stack import KEY, Pair, send

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "curl": ("sh",),
    "python": (sys.executable,),
    "javascript": ("node",),
    "go": (str(Path(sys.executable).with_name("go")), "run"),
}
"""Language to the program that runs a file with the sample."""

SUFFIXES: Final = {"curl": "sh", "python": "py", "javascript": "mjs", "go": "go"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "language",
    [
        pytest.param("curl", marks=pytest.mark.needs("curl")),
        "python",
        pytest.param("javascript", marks=pytest.mark.needs("node")),
        pytest.param("go", marks=pytest.mark.needs("go")),
    ],
)
def test_a_sample_prints_the_sum(pair: Pair, tmp_path: Path, language: str) -> None:
    """A developer only has to fill in the key and the URL."""
    page = send(pair.gateway.url, path="/docs").body.decode()
    samples = dict(re.findall(r'<code id="([a-z]+)">(.*?)</code>', page, re.DOTALL))
    assert samples.keys() == COMMANDS.keys()
    sample = html.unescape(re.sub(r"</?span[^>]*>", "", samples[language]))
    for shown, own in (("YOUR_KEY", KEY), ("http://localhost:8081", pair.gateway.url)):
        assert sample.count(shown) == 1
        sample = sample.replace(shown, own)
    file = tmp_path / f"sample.{SUFFIXES[language]}"
    file.write_text(sample)
    done = subprocess.run(
        [*COMMANDS[language], str(file)],
        env={**os.environ, "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == '{"sum":42}', done.stderr
