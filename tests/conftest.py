"""The tests' requirements beyond Python, their schedule and their report."""

import importlib.util
import os
import shutil
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import engine
import terraform
from stack import Report
from zama_ops.emulated_account import temporary_account
from zama_ops.programs import run

# `make setup` installs here what tests/contract needs.
CONTRACT_TOOLS: Final = Path(sys.prefix, "contract")

Need = tuple[Callable[[], object], str]
"""A probe for this machine, and a hint if it fails."""


def on_path(package: str, *programs: str) -> Need:
    """Return the need for programs of a Debian package, or for one of the package's name."""
    names = programs or (package,)
    hint = f"no {' or '.join(names)} on the PATH (Debian: apt install {package})"
    return lambda: all(map(shutil.which, names)), hint


NEEDS: Final[dict[str, Need]] = {
    "alertmanager": on_path("prometheus-alertmanager", "prometheus-alertmanager", "amtool"),
    "browser": (
        lambda: shutil.which("chromium") and importlib.util.find_spec("playwright"),
        "no chromium on the PATH (Debian: apt install chromium) or no Playwright (make setup)",
    ),
    "cores": (
        lambda: shutil.which("taskset") and len(os.sched_getaffinity(0)) > 1,
        "no second core, or no taskset on the PATH (Debian: apt install util-linux)",
    ),
    "curl": on_path("curl"),
    "docker": (
        engine.is_there,
        "no running Docker engine (`sudo dockerd &`), or no docker-compose",
    ),
    "go": (
        lambda: Path(sys.executable).with_name("go").exists(),
        "no Go beside this Python (make setup)",
    ),
    "graphviz": on_path("graphviz", "dot"),
    "haproxy": on_path("haproxy"),
    "nginx": on_path("nginx"),
    "node": on_path("nodejs", "node"),
    "npm": (
        lambda: (CONTRACT_TOOLS / "node_modules").exists() and shutil.which("node"),
        "no npm packages in .venv/contract (Debian: apt install npm; then make setup)",
    ),
    "prometheus": on_path("prometheus", "prometheus", "promtool"),
    "terraform": (
        terraform.is_there,
        "no terraform on the PATH, or no AWS provider for it (see docs/deploy.md)",
    ),
    "wrk": on_path("wrk"),
}

SETTINGS: Final = (
    *("API_KEY", "API_KEYS", "API_HOST", "API_PORT", "LISTEN_HOST", "LISTEN_PORT"),
    *("RATE_LIMIT", "RATE_BURST", "TRUSTED_PROXIES", "HOST", "PORT", "REQUIRE_API_KEY"),
    *("READY_DELAY_SECONDS", "DRAIN_SECONDS", "LOG_LEVEL", "ACCESS_LOG", "VERSION"),
    *("METRICS_PORT", "NGINX_BINARY", "PUBLIC_URL"),
)

_COLOURS: Final = ("FORCE_COLOR", "PY_COLORS")

_FIGURES: Final = pytest.StashKey[list[str]]()


# These tests start first, because they take longest. The first three wait for minutes of AWS;
# /mutations/ and those after it use the processor at the same time.
_FIRST: Final = (
    *("/aws/test_deploy.py", "/aws/test_life.py::test_ten_minutes", "/docs/test_readme.py"),
    *("/mutations/", "/aws/test_configuration.py", "/test_lifecycle.py", "/test_hostile.py"),
    *("/aws/test_inputs.py", "/aws/test_keys.py", "/aws/test_plans.py", "/test_rules.py", "/aws/"),
    *("/observability/test_drills.py", "/test_tour.py", "/test_replacement.py", "/delivery/"),
    *("/portal/", "/test_attacks.py", "/test_limiter.py", "/test_schema.py", "/containers/"),
    "/gateway/",
)
# These use the documented image names and ports, so one process runs them.
_DOCUMENTED: Final = ("test_rehearsal.py", "test_readme.py", "containers/test_documented.py")
# These take as long as all other tests of the minimal profile, so a second deployment serves them.
_ROLLOUTS: Final = (
    *("/test_deploy.py", "/test_rollout.py"),
    *("[minimal-bad-release]", "[minimal-secret-missing]"),
)
# Of tests/aws, these need no deployed profile.
_UNDEPLOYED: Final = (
    *("test_configuration.py", "aws/test_documented.py", "test_inputs.py", "test_keys.py"),
    "test_plans.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, part in enumerate(_FIRST) if part in item.nodeid), len(_FIRST))


class Scheduling(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist is not typed
    """Gives a process a file, or all tests that share a deployment, documented names or browser."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.endswith(_DOCUMENTED):
            return "documented"
        if file.startswith("tests/aws/") and not file.endswith(_UNDEPLOYED):
            if "[production" in nodeid:
                return "production"
            return "rollouts" if any(part in nodeid for part in _ROLLOUTS) else "minimal"
        return "portal" if file.startswith("tests/portal/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that this machine cannot run, or fail it if REQUIRE_ALL=1."""
    for marker in item.iter_markers("needs"):
        for kind in marker.args:
            has, hint = NEEDS[kind]
            if has():
                continue
            if os.environ.get("REQUIRE_ALL") == "1":
                pytest.fail(f"REQUIRE_ALL=1, but there is {hint}", pytrace=False)
            pytest.skip(hint)


@pytest.fixture(scope="session", autouse=True)
def _signals() -> None:
    """Make programs under test receive Ctrl-C and SIGHUP.

    A shell ignores SIGINT for background jobs, `nohup` ignores SIGHUP, and children inherit
    both.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _settings_of_this_shell() -> Iterator[None]:
    """Keep the developer's exported settings away from the processes under test."""
    patch = pytest.MonkeyPatch()
    # Typer forces colours if GITHUB_ACTIONS is set, and a deployment's record names GitHub's run.
    ours = [name for name in os.environ if name.startswith("GITHUB_") or name in _COLOURS]
    for name in (*SETTINGS, "CONNECT_TO", *ours):
        patch.delenv(name, raising=False)
    # A provider's schema is large: to collect garbage less often saves a fifth of Terraform's CPU.
    patch.setenv("GOGC", "800")
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _terraform_without_hash_checks(request: pytest.FixtureRequest, shared: Path) -> Iterator[None]:
    markers = [one for item in request.session.items for one in item.iter_markers("needs")]
    patch = pytest.MonkeyPatch()
    if any("terraform" in marker.args for marker in markers) and terraform.is_there():
        with engine.turn(shared / "terraform.lock"):
            terraform.skip_hash_checks(shared / "terraform", patch)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if hasattr(pytestconfig, "workerinput") else own


@pytest.fixture(scope="session")
def images(shared: Path, report: Report) -> engine.Images:
    with engine.turn(shared / "images.lock"):
        images = engine.build()
    # A stand-in is not the deployed image, so the report names the base images.
    for name, image in images.bases.items():
        report(f"{name} of the containers: {image}")
    return images


@pytest.fixture(scope="session")
def bootstrapped(shared: Path) -> Iterator[Future[Path]]:
    """Start to apply terraform/bootstrap to an account, which is saved as a starting point."""
    folder = shared / "bootstrapped"

    def apply() -> Path:
        with engine.turn(folder.with_suffix(".lock")):
            if not folder.exists():
                with temporary_account() as account:
                    account.bootstrap()
                    account.save(folder)
        return folder

    with ThreadPoolExecutor() as pool:
        yield pool.submit(apply)


@pytest.fixture(scope="session", autouse=True)
def _begin_with_the_bootstrap(
    request: pytest.FixtureRequest, _terraform_without_hash_checks: None
) -> None:
    """Start it with the first test, if any selected test needs the account."""
    if any("bootstrapped" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("bootstrapped")


@pytest.fixture(scope="session", autouse=True)
def _yield_to_the_longest(_begin_with_the_bootstrap: None) -> None:
    """Give the process of the production profile's tests precedence, as they take longest."""
    if "[production" not in os.environ["PYTEST_CURRENT_TEST"]:
        os.nice(max(0, 5 - os.nice(0)))


@pytest.fixture(scope="module")
def own_images(images: engine.Images) -> Iterator[None]:
    """Restore the images for other modules after a command under test builds its own."""
    del images
    names = (engine.API_IMAGE, engine.NGINX_IMAGE)
    before = engine.inspect(*names)
    yield
    for name, image in zip(names, before, strict=True):
        run("docker", "tag", image["Id"], name)


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    return pytestconfig.stash.setdefault(_FIGURES, []).append


# --- The report -----------------------------------------------------------------------------------
# Tests may run in several processes. Figures reach the printing process attached to test reports.


@dataclass
class Cost:
    """The cost of a folder's tests, including fixtures."""

    tests: int = 0
    seconds: float = 0
    cpu_seconds: float = 0


class Reporter:
    """Collects facts and costs from all tests, and prints them at the end."""

    def __init__(self) -> None:
        self._cpu_seconds = _cpu_seconds()
        self._figures: list[str] = []
        self._costs: defaultdict[str, Cost] = defaultdict(Cost)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach new figures, and the CPU seconds since the last report."""
        report = yield
        figures = item.config.stash.setdefault(_FIGURES, [])
        now = _cpu_seconds()
        report.user_properties = [
            *(("figure", line) for line in figures),
            ("cpu_seconds", now - self._cpu_seconds),
        ]
        self._cpu_seconds = now
        figures.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cost = self._costs[report.nodeid.partition("/test_")[0]]
        cost.tests += report.when == "call"
        cost.seconds += report.duration
        for name, value in report.user_properties:
            if name == "figure":
                self._figures.append(str(value))
            else:
                cost.cpu_seconds += float(str(value))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._figures:
            terminalreporter.section("figures and facts")
        for line in self._figures:
            terminalreporter.line(line)
        terminalreporter.section("time by folder")
        terminalreporter.line(f"{'folder':24}{'tests':>8}{'seconds':>10}{'CPU seconds':>13}")
        for folder, cost in sorted(self._costs.items(), key=lambda entry: -entry[1].seconds):
            terminalreporter.line(
                f"{folder:24}{cost.tests:8}{cost.seconds:10.0f}{cost.cpu_seconds:13.0f}"
            )


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and its ended children."""
    return sum(os.times()[:4])


def pytest_configure(config: pytest.Config) -> None:
    """Collect figures in each process; the first prints them."""
    config.pluginmanager.register(Reporter())
