"""The journal loses nothing, and no caller waits for it."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from in_process import at_once
from zama_api import journal as journal_module
from zama_api.journal import Journal
from zama_api.logs import Log, Request
from zama_api.metrics import Metrics

Logged = Callable[[], list[dict[str, Any]]]
Finished = Callable[..., Request]


def counted(metrics: Metrics) -> int:
    return int(float(metrics.render().decode().partition("\nsum_requests_total ")[2].split()[0]))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


@pytest.fixture
def journal(log: Log, metrics: Metrics) -> Journal:
    """Make a journal whose thread has not started."""
    return Journal(log, metrics)


def test_a_finished_request_is_written_later(
    journal: Journal, logged: Logged, metrics: Metrics, finished: Finished
) -> None:
    """Adding a request writes nothing; flushing logs and counts it, once and in order."""
    journal.add(finished(request_id="id-1"))
    journal.add(finished(request_id="id-2"))
    assert logged() == []
    assert counted(metrics) == 0

    journal.flush()
    journal.flush()
    assert [line["request_id"] for line in logged()] == ["id-1", "id-2"]
    assert counted(metrics) == 2


def test_without_an_access_log_requests_are_still_counted(
    metrics: Metrics, finished: Finished
) -> None:
    """Disabling the access log does not disable the metrics."""
    journal = Journal(None, metrics)
    journal.add(finished())
    journal.flush()

    assert counted(metrics) == 1


def test_the_request_that_fills_the_journal_writes_it(
    journal: Journal, logged: Logged, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory stays bounded even if the journal's thread never flushes."""
    monkeypatch.setattr(journal_module, "_CAPACITY", 3)
    lengths = []
    for _ in range(7):
        journal.add(finished())
        lengths.append(len(logged()))

    assert lengths == [0, 0, 3, 3, 3, 6, 6]


def test_a_started_journal_writes_by_itself(metrics: Metrics, finished: Finished) -> None:
    """A finished request is logged soon, without another event."""
    written = threading.Event()

    class Reader(Log):
        def requests(self, requests: Sequence[Request]) -> None:
            if requests:
                written.set()

    journal = Journal(Reader("info"), metrics)
    journal.start()
    journal.add(finished())

    assert written.wait(timeout=10)
    journal.close()


def test_closing_writes_the_remaining_requests(
    journal: Journal, logged: Logged, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last requests before a stop are logged, and the journal's thread ends."""
    # An interval so long that only closing can write the line.
    monkeypatch.setattr(journal_module, "_INTERVAL_SECONDS", 3600)
    before = set(threading.enumerate())
    journal.start()
    journal.add(finished(request_id="last"))
    journal.close()

    assert [line["request_id"] for line in logged()] == ["last"]
    assert set(threading.enumerate()) <= before


def test_a_batch_waits_for_the_previous_one(metrics: Metrics, finished: Finished) -> None:
    """Lines keep the order of the requests, even if one thread writes slowly."""
    written: list[str] = []

    class SlowLog(Log):
        def requests(self, requests: Sequence[Request]) -> None:
            if not other.is_alive():
                other.start()
                # Long enough for the second batch to overtake this one if it could; it cannot, so
                # this times out.
                other.join(timeout=0.1)
            written.extend(request.request_id for request in requests)

    def add_and_flush(request_id: str) -> None:
        journal.add(finished(request_id=request_id))
        journal.flush()

    journal = Journal(SlowLog("info"), metrics)
    other = threading.Thread(target=add_and_flush, args=("second",))
    add_and_flush("first")
    other.join()

    assert written == ["first", "second"]


def test_nothing_is_lost_or_written_twice_among_threads(
    journal: Journal,
    logged: Logged,
    metrics: Metrics,
    finished: Finished,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads that add requests during a flush get every line once and in order."""
    monkeypatch.setattr(journal_module, "_CAPACITY", 10)
    monkeypatch.setattr(journal_module, "_INTERVAL_SECONDS", 0.0001)

    def work(name: int) -> None:
        for number in range(500):
            journal.add(finished(client=f"{name}", bytes_sent=number))

    journal.start()
    at_once(work)
    journal.close()

    lines = logged()
    for name in "0123":
        assert [line["bytes_sent"] for line in lines if line["client"] == name] == [*range(500)]
    assert counted(metrics) == 2000
