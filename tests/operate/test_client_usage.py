"""`zama usage` adds up the requests of each client."""

from zama_ops.service.usage import Use, by_client


def row(client: str, status: int, requests: int, p99_ms: float) -> dict[str, str]:
    return {
        "client": client,
        "status": str(status),
        "requests": str(requests),
        "p99_ms": str(p99_ms),
    }


def test_the_statuses_of_a_client_are_added_up() -> None:
    """The response time is that of successful requests; the busiest client is first."""
    rows = [
        row("", 401, 7, 1),
        row("acme", 429, 20, 1),
        row("acme", 200, 100, 12.5),
        row("", 403, 3, 1),
        row("acme", 422, 5, 2),
        row("acme", 502, 4, 3000),
    ]
    assert by_client(rows) == [
        Use("acme", requests=129, refused=0, limited=20, failed=4, p99_ms=12.5),
        Use("(no valid key)", requests=10, refused=10),
    ]


def test_without_requests_there_are_no_clients() -> None:
    """A quiet hour is no error."""
    assert by_client([]) == []
