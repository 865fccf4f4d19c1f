"""The code samples, as the page shows them."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from stack import KEY, Pair

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.needs("browser")

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "curl": ("sh",),
    "Python": (sys.executable,),
    "JavaScript": ("node",),
    # Go's own packages are compiled first: without optimization, that takes two thirds of the time.
    "Go": (str(Path(sys.executable).with_name("go")), "run", "-gcflags=all=-N -l"),
}
"""Language to the program that runs a file with the sample."""

SUFFIXES: Final = {"curl": "sh", "Python": "py", "JavaScript": "mjs", "Go": "go"}
LANGUAGES: Final = [
    pytest.param("curl", marks=pytest.mark.needs("curl")),
    "Python",
    pytest.param("JavaScript", marks=pytest.mark.needs("node")),
    pytest.param("Go", marks=pytest.mark.needs("go")),
]

LARGEST: Final = str(2**63 - 1)
SMALLEST: Final = str(-(2**63))
# Every character that ends a string or a word in one of the languages.
HOSTILE: Final = 'it\'s a "key" \\ ` $HOME %s'

Sample = Callable[..., str]


@pytest.fixture(scope="module")
def sample(browser: "Browser", pair: Pair) -> Iterator[Sample]:
    """Return a function that fills in the form, and returns the sample in a language."""
    page = browser.new_page()
    page.goto(f"{pair.gateway.url}/docs")
    operation = page.locator("section.operation", has_text="/sum")

    def sample(language: str, key: str = KEY, a: str = "2", b: str = "40") -> str:
        for label, text in (("API key", key), ("a", a), ("b", b)):
            operation.get_by_label(label, exact=True).fill(text)
        operation.get_by_role("tab", name=language, exact=True).click()
        # innerText would lose no character either, but copies line breaks by their layout.
        return operation.get_by_role("tabpanel").text_content() or ""

    yield sample
    page.close()


def run(language: str, sample: str, folder: Path) -> str:
    """Run a sample and return its output."""
    file = folder / f"sample.{SUFFIXES[language]}"
    file.write_text(sample)
    done = subprocess.run(
        [*COMMANDS[language], str(file)],
        env={**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("a", "b"), [("2", "40"), (LARGEST, LARGEST), (SMALLEST, SMALLEST)])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sample_prints_the_exact_sum(
    sample: Sample, tmp_path: Path, language: str, a: str, b: str
) -> None:
    """A sample runs as it is shown and prints the sum, which may need 65 bits."""
    printed = run(language, sample(language, a=a, b=b), tmp_path)
    assert re.sub(r"""[\s"'n]""", "", printed) == f"{{sum:{int(a) + int(b)}}}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("field", "title"), [("key", "Forbidden"), ("a", "Unprocessable Content")])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sample_prints_the_problem(
    sample: Sample, tmp_path: Path, language: str, field: str, title: str
) -> None:
    """A refusal's body is printed, and typed text is quoted for the language."""
    printed = run(language, sample(language, **{field: HOSTILE}), tmp_path)
    assert f'"title":"{title}"' in printed


def test_the_typescript_sample_is_the_javascript_sample_with_types(sample: Sample) -> None:
    """Without its two types it is the sample that the tests above run."""
    typed, types = re.subn(
        r": (string|\{ sum: number \| bigint \})(?=[) ])", "", sample("TypeScript", a=LARGEST)
    )
    assert types == 2
    assert typed == sample("JavaScript", a=LARGEST)
