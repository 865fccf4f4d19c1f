"""Each break of breaks.yaml makes the test that it names fail."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import pytest
import yaml

from checkout import Checkout
from stack import Report
from terraform import FOLDERS, terraform

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


BREAKS: Final = [
    Break(name, file, **fields)
    for file, breaks in yaml.safe_load(Path(__file__).with_name("breaks.yaml").read_text()).items()
    for name, fields in breaks.items()
]

Outcomes = dict[str, set[str]]
"""Test to its outcomes; a test with parameters has several."""


def run_python_tests(checkout: Checkout, tests: list[str]) -> Outcomes:
    """Run Python tests in a copy, as `make test` does."""
    outcomes = {test: set[str]() for test in tests}
    if tests:
        done = checkout.run(
            *("pytest", "-q", "-rfEp", *_PLUGINS, "-m", "not needs", *tests),
            PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
        )
        # Other codes mean that pytest found no test or failed itself.
        assert done.returncode in {0, 1}, done.stdout + done.stderr
        summary = re.findall(r"^(PASSED|FAILED|ERROR) ([^\s\[]+)", done.stdout, re.MULTILINE)
        for outcome, test in summary:
            outcomes[test].add(outcome.lower())
    return outcomes


def run_terraform_tests(checkout: Checkout, tests: list[str], data: Path) -> Outcomes:
    """Run only the given runs of Terraform's own tests, because each takes seconds."""
    outcomes = {test: set[str]() for test in tests}
    wanted = [test.split("::") for test in tests]
    for file in {file for file, _ in wanted}:
        path = checkout.path / file
        head, *runs = re.split(r'^(?=run ")', path.read_text(), flags=re.MULTILINE)
        names = tuple(f'run "{name}" ' for of, name in wanted if of == file)
        path.write_text(head + "".join(run for run in runs if run.startswith(names)))
        filtered = f"-filter={Path(file).relative_to('terraform')}"
        done = terraform(checkout.path / "terraform", data, "test", "-json", filtered)
        for line in map(json.loads, done.stdout.splitlines()):
            run = line.get("test_run", {})
            if run.get("progress") == "complete":
                # An error is not a failed assertion.
                outcome = {"pass": "passed", "fail": "failed"}.get(run["status"], "error")
                outcomes[f"{file}::{run['run']}"].add(outcome)
    return outcomes


@dataclass(frozen=True)
class Laboratory:
    """Applies breaks to copies of the working tree; `data` contains Terraform's provider.

    A copy is used again, because compiling its modules takes as long as most tests.
    """

    data: Path
    copies: SimpleQueue[Checkout]

    def run(self, tests: list[str], broken: Break | None = None) -> Outcomes:
        """Run tests in a copy, with or without a break."""
        python = [test for test in tests if ".py::" in test]
        checkout = self.copies.get()
        try:
            checkout.reset()
            if broken:
                checkout.edit(broken.file, broken.old, broken.new)
            return {
                **run_python_tests(checkout, python),
                **run_terraform_tests(
                    checkout, [test for test in tests if test not in python], self.data
                ),
            }
        finally:
            self.copies.put(checkout)


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
    data = tmp_path_factory.mktemp("terraform")
    done = terraform(FOLDERS["service"], data, "init", "-backend=false", "-lockfile=readonly")
    assert done.returncode == 0, done.stderr
    copies: SimpleQueue[Checkout] = SimpleQueue()
    for number in range(AT_ONCE):
        copies.put(Checkout.make(tmp_path_factory.mktemp("copy") / str(number)))
    return Laboratory(data, copies)


def was_noticed(broken: Break, outcomes: Outcomes) -> bool:
    """Return whether the named test failed itself, and not in its setup."""
    return "failed" in outcomes[broken.test] and "error" not in outcomes[broken.test]


@pytest.fixture(scope="module")
def unbroken(
    pool: ThreadPoolExecutor, laboratory: Laboratory, selected: list[Break]
) -> Future[Outcomes]:
    """Start the named Python tests together on an unbroken copy.

    tests/aws/test_configuration.py runs all of Terraform's, and each takes seconds.
    """
    tests = {broken.test for broken in selected if ".py::" in broken.test}
    return pool.submit(laboratory.run, sorted(tests))


@pytest.fixture(scope="module")
def tried(
    pool: ThreadPoolExecutor,
    laboratory: Laboratory,
    selected: list[Break],
    unbroken: Future[Outcomes],
    report: Report,
) -> Iterator[dict[Break, Future[Outcomes]]]:
    """Start each break, and report the number of noticed breaks at the end."""
    began = time.monotonic()
    begun = {broken: pool.submit(laboratory.run, [broken.test], broken) for broken in selected}
    yield begun
    noticed = [
        broken
        for broken, outcomes in begun.items()
        if not outcomes.exception() and was_noticed(broken, outcomes.result())
    ]
    unbroken.exception()
    seconds = time.monotonic() - began
    report(f"mutations: {len(noticed)} of {len(begun)} killed in {seconds:.0f} s")


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.name)
def test_a_break_is_noticed(
    broken: Break, tried: dict[Break, Future[Outcomes]], unbroken: Future[Outcomes]
) -> None:
    """The named test fails with the break and passes without it."""
    assert unbroken.result().get(broken.test, {"passed"}) == {"passed"}
    outcomes = tried[broken].result()
    assert was_noticed(broken, outcomes), f"{broken} survives: {outcomes}"
