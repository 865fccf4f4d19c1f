"""`zama load`: send constant load to a deployment and measure the answers."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from zama_ops.console import Table, errors_told, notes, show
from zama_ops.contract_checks import caller, key_for, require_answer
from zama_ops.errors import CommandError
from zama_ops.load_generator import Plan, TimedAnswer, answers, percentiles
from zama_ops.options import AsJson, ConnectTo, Url
from zama_ops.paths import BUILD
from zama_ops.programs import require


@dataclass(frozen=True)
class Report:
    """The result of a load test; latencies are of answers with status 200.

    Percentiles are in milliseconds, by name, for the whole test and for each second that had
    requests due.
    """

    plan: Plan
    began: str
    unanswered: int
    statuses: dict[int, int]
    milliseconds: dict[str, float]
    by_second: list[dict[str, float]]

    @property
    def passed(self) -> bool:
        """Whether all requests were answered, none with a 5xx, and some with the sum."""
        return not self.unanswered and 200 in self.statuses and max(self.statuses) < 500


def load(  # noqa: PLR0913 - a command's options
    url: Url,
    *,
    rate: Annotated[float, typer.Option(min=0.1, max=20_000, help="Requests a second.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Duration in seconds.")] = 30,
    connections: Annotated[
        int, typer.Option(min=1, max=1000, help="The most requests in flight at once.")
    ] = 32,
    connect_to: ConnectTo = None,
    folder: Annotated[
        Path, typer.Option("--report", help="Where to write report.json and report.png.")
    ] = BUILD / "load",
    as_json: AsJson = False,
) -> None:
    """Send POST /sum at a constant rate and measure the latency.

    Each request is due at a fixed moment, and its latency counts from then, so that slow answers do
    not hide delays (coordinated omission). Set a valid key in API_KEY; for a local URL the default
    is CHANGEME. Certificates are not checked. Needs wrk, and for the picture `make setup`. Exit
    code 1: a request was not answered or got a 5xx, or no request got the sum; 2: the URL is
    invalid or there is no key.
    """
    plan, key = Plan(url, rate, seconds, connections), key_for(url)
    with errors_told():
        require("wrk")
        if not as_json:
            require_answer(caller(url, key, connect_to, insecure=True))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"The report cannot be written: {error}") from None
    began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    report = _summary(plan, began, list(_shown(plan, key, connect_to)))
    (folder / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    if report.milliseconds:
        _draw(report, folder / "report.png")
    show(asdict(report), _table(report), as_json=as_json)
    notes.print(f"The report is in {folder}.")
    if not report.passed:
        raise typer.Exit(1)


def _shown(plan: Plan, key: str, connect_to: str | None) -> Iterator[TimedAnswer]:
    with Progress(console=notes, transient=True) as progress:
        task = progress.add_task("Answers", total=plan.requests)
        for answer in answers(plan, key, connect_to):
            yield answer
            progress.advance(task)


def _summary(plan: Plan, began: str, answers: list[TimedAnswer]) -> Report:
    by_second: dict[int, list[float]] = {}
    for answer in answers:
        if answer.status == 200:
            by_second.setdefault(int(answer.due_seconds), []).append(answer.milliseconds)
    return Report(
        plan=plan,
        began=began,
        unanswered=plan.requests - len(answers),
        statuses=dict(sorted(Counter(answer.status for answer in answers).items())),
        milliseconds=percentiles([one for many in by_second.values() for one in many]),
        by_second=[
            {"second": second, **percentiles(many)} for second, many in sorted(by_second.items())
        ],
    )


def _table(report: Report) -> Table:
    table = Table("", "", title=report.plan.url, show_header=False)
    table.add_row("requests", f"{report.plan.requests}, {report.plan.rate:g}/s")
    for status, count in report.statuses.items():
        table.add_row(f"answered with {status}", str(count))
    table.add_row("unanswered", str(report.unanswered))
    for name, value in report.milliseconds.items():
        table.add_row(name, f"{value:.2f} ms")
    return table


def _draw(report: Report, path: Path) -> None:
    """Draw the latency over time, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - `make up` does not install it
    except ImportError:
        notes.print("The picture needs matplotlib: run `make setup`.")
        return
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    for name in report.milliseconds:
        axes.plot(
            [one["second"] for one in report.by_second],
            [one[name] for one in report.by_second],
            marker=".",
            label=f"{name}: {report.milliseconds[name]:.2f} ms",
        )
    statuses = ", ".join(f"{count} answers {status}" for status, count in report.statuses.items())
    unanswered = f", {report.unanswered} unanswered" * bool(report.unanswered)
    axes.set_title(f"{report.plan.url}: {report.plan.rate:g} requests/s, {statuses}{unanswered}")
    axes.set_xlabel(f"seconds since {report.began}")
    axes.set_ylabel("milliseconds")
    axes.set_yscale("log")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(title="latency per second (numbers: overall)")
    figure.savefig(path, dpi=120)
