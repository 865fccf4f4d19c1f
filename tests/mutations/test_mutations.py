"""Each break of breaks.yaml makes the test that it names fail."""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import pytest
import yaml

from checkout import Checkout
from stack import Report
from terraform import running_provider, terraform

# The first test waits for the run on the unbroken copy.
pytestmark = [pytest.mark.needs("terraform"), pytest.mark.timeout(600)]

# The other plugins take longer to import than most tests take to run.
_PLUGINS: Final = ("-p", "no:cacheprovider", "-p", "pytest_timeout")
# CI has two cores.
AT_ONCE: Final = 2


@dataclass(frozen=True)
class Break:
    """A change of one line, and the test that must then fail: `path::name`, without parameters."""

    name: str
    file: str
    old: str
    new: str
    test: str

    @property
    def is_tested_by_python(self) -> bool:
        return ".py::" in self.test


BREAKS: Final = [
    Break(name, file, **fields)
    for file, breaks in yaml.safe_load(Path(__file__).with_name("breaks.yaml").read_text()).items()
    for name, fields in breaks.items()
]

Outcomes = dict[str, set[str]]
"""Test to its outcomes; a test with parameters has several."""


def run_python_tests(checkout: Checkout, tests: list[str], *options: str) -> tuple[Outcomes, str]:
    """Run Python tests in a copy, as `make test` does; return what pytest printed as well."""
    done = checkout.run(
        *("pytest", "-q", "-rfEp", *_PLUGINS, "-m", "not needs", *options, *tests),
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )
    # Other codes mean that pytest found no test or failed itself.
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    outcomes = {test: set[str]() for test in tests}
    summary = re.findall(r"^(PASSED|FAILED|ERROR) ([^\s\[]+)", done.stdout, re.MULTILINE)
    for outcome, test in summary:
        outcomes[test].add(outcome.lower())
    return outcomes, done.stdout


def run_terraform_tests(checkout: Checkout, breaks: list[Break], data: Path) -> Outcomes:
    """Run Terraform's own tests, each on a configuration with one break, and name it after that.

    One command runs all, because each command reads the provider's schema for seconds.
    """
    folder = checkout.path / "terraform"
    runs: dict[str, tuple[Path, str]] = {}
    for path in folder.glob("tests/*.tftest.hcl"):
        head, *texts = re.split(r'^(?=run ")', path.read_text(), flags=re.MULTILINE)
        path.write_text(head)
        for text in texts:
            beginning, _, rest = text.partition("\n")
            name = beginning.split('"')[1]
            runs[f"{path.relative_to(checkout.path)}::{name}"] = (path, rest)
    for broken in breaks:
        # Beside the configuration, which reads ../observability.
        copy = checkout.path / broken.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("bootstrap", "tests"))
        checkout.edit(broken.file.replace("terraform", broken.name, 1), broken.old, broken.new)
        path, rest = runs[broken.test]
        module = f'  module {{\n    source = "../{broken.name}"\n  }}\n'
        with path.open("a") as file:
            file.write(f'run "{broken.name}" {{\n{module}{rest}')
    done = terraform(folder, data, "init", "-backend=false", "-lockfile=readonly")
    assert done.returncode == 0, done.stderr
    with running_provider(data) as environ:
        done = terraform(folder, data, "test", "-json", **environ)
    outcomes = {broken.name: set[str]() for broken in breaks}
    for line in map(json.loads, done.stdout.splitlines()):
        run = line.get("test_run", {})
        if run.get("progress") == "complete":
            # An error is not a failed assertion.
            outcome = {"pass": "passed", "fail": "failed"}.get(run["status"], "error")
            outcomes[run["run"]].add(outcome)
    return outcomes


@dataclass(frozen=True)
class Laboratory:
    """Applies breaks to copies of the working tree.

    A copy is used again, because compiling its modules takes as long as most tests.
    """

    copies: SimpleQueue[Checkout]

    @contextlib.contextmanager
    def copy(self) -> Iterator[Checkout]:
        checkout = self.copies.get()
        try:
            checkout.reset()
            yield checkout
        finally:
            self.copies.put(checkout)

    def run_unbroken(self, tests: list[str]) -> tuple[Outcomes, str]:
        with self.copy() as checkout:
            return run_python_tests(checkout, tests) if tests else ({}, "")

    def run_broken(self, broken: Break) -> set[str]:
        with self.copy() as checkout:
            checkout.edit(broken.file, broken.old, broken.new)
            outcomes, _ = run_python_tests(checkout, [broken.test], "--exitfirst")
            return outcomes[broken.test]

    def run_terraform(self, breaks: list[Break], data: Path) -> Outcomes:
        with self.copy() as checkout:
            return run_terraform_tests(checkout, breaks, data) if breaks else {}


@dataclass(frozen=True)
class Tried:
    """The runs of all breaks, which may not have ended."""

    python: dict[Break, Future[set[str]]]
    terraform: Future[Outcomes]

    def outcomes(self, broken: Break) -> set[str]:
        """Wait for a break's run, and return the outcomes of the named test."""
        if broken in self.python:
            return self.python[broken].result()
        return self.terraform.result()[broken.name]


@pytest.fixture(scope="module")
def selected(request: pytest.FixtureRequest) -> list[Break]:
    parameters = [getattr(item, "callspec", None) for item in request.session.items]
    given = [one.params.get("broken") for one in parameters if one]
    return [broken for broken in given if isinstance(broken, Break)]


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield pool


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    copies: SimpleQueue[Checkout] = SimpleQueue()
    for number in range(AT_ONCE):
        copies.put(Checkout.make(tmp_path_factory.mktemp("copy") / str(number)))
    return Laboratory(copies)


def was_noticed(outcomes: set[str]) -> bool:
    """Return whether the named test failed itself, and not in its setup."""
    return "failed" in outcomes and "error" not in outcomes


@pytest.fixture(scope="module")
def unbroken(
    pool: ThreadPoolExecutor, laboratory: Laboratory, selected: list[Break]
) -> Future[tuple[Outcomes, str]]:
    """Start the named Python tests together on an unbroken copy.

    tests/aws/test_configuration.py runs all of Terraform's, and each takes seconds.
    """
    tests = {broken.test for broken in selected if broken.is_tested_by_python}
    return pool.submit(laboratory.run_unbroken, sorted(tests))


@pytest.fixture(scope="module")
def tried(
    pool: ThreadPoolExecutor,
    laboratory: Laboratory,
    selected: list[Break],
    unbroken: Future[tuple[Outcomes, str]],
    tmp_path_factory: pytest.TempPathFactory,
    report: Report,
) -> Iterator[Tried]:
    """Start each break, and report the number of noticed breaks at the end."""
    began = time.monotonic()
    python = [broken for broken in selected if broken.is_tested_by_python]
    others = [broken for broken in selected if broken not in python]
    tried = Tried(
        terraform=pool.submit(
            laboratory.run_terraform, others, tmp_path_factory.mktemp("terraform")
        ),
        python={broken: pool.submit(laboratory.run_broken, broken) for broken in python},
    )
    yield tried
    runs: list[Future[Any]] = [tried.terraform, unbroken, *tried.python.values()]
    if not any(run.exception() for run in runs):
        noticed = sum(was_noticed(tried.outcomes(broken)) for broken in selected)
        seconds = time.monotonic() - began
        report(f"mutations: {noticed} of {len(selected)} killed in {seconds:.0f} s")


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.name)
def test_a_break_is_noticed(
    broken: Break, tried: Tried, unbroken: Future[tuple[Outcomes, str]]
) -> None:
    """The named test fails with the break and passes without it."""
    without, printed = unbroken.result()
    assert without.get(broken.test, {"passed"}) == {"passed"}, printed
    outcomes = tried.outcomes(broken)
    assert was_noticed(outcomes), f"{broken} survives: {outcomes}"
