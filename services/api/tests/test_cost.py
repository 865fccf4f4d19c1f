"""What a request costs, counted and not timed: the same on every machine, however busy."""

import sys
from io import BytesIO
from types import FrameType
from typing import Any, Final

from in_process import run

REQUESTS: Final = 1000
# Of functions, Python's and C's: 27 on a request's way and 3 afterwards in the journal, with Python
# 3.11, and some room for other versions. Whoever needs more makes the service slower: find a
# cheaper way, or say in the commit why it is worth it.
MOST_CALLS: Final = 30
MOST_CALLS_OF_THE_JOURNAL: Final = 4


def test_a_sum_takes_few_calls() -> None:
    """On its way, and in the journal afterwards."""
    body = b'{"a": 2, "b": 40}'
    environs = [
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/sum",
            "CONTENT_TYPE": "application/json",
            "HTTP_X_REQUEST_ID": "id-1",
            "REMOTE_ADDR": "192.0.2.1",
            "wsgi.input": BytesIO(body),
        }
        for _ in range(REQUESTS)
    ]

    def start_response(*_: Any) -> Any:
        """Take status and headers."""

    with run() as service:

        def answer() -> None:
            for environ in environs:
                service.application(environ, start_response)

        on_the_way = _calls(answer) / REQUESTS
        afterwards = _calls(service.journal.flush) / REQUESTS
    assert on_the_way <= MOST_CALLS
    assert afterwards <= MOST_CALLS_OF_THE_JOURNAL


def _calls(function: Any) -> int:
    """Return how many functions a function calls, and these."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(before)
    return calls
