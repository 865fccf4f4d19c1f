"""The cost of a request in function calls, which is the same on every machine under any load."""

import sys
from io import BytesIO
from types import FrameType
from typing import Any, Final

from in_process import run

REQUESTS: Final = 1000
# Calls of Python and C functions. With Python 3.11 a request makes 27 and the journal 3 more; the
# rest is room for other versions. More calls make the service slower: find a cheaper way, or
# justify them in the commit message.
MOST_CALLS: Final = 30
MOST_CALLS_OF_THE_JOURNAL: Final = 4


def test_a_sum_takes_few_calls() -> None:
    """A request stays within the limits while it is answered, and later in the journal."""
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
        """Accept the status and the headers."""

    with run() as service:

        def answer() -> None:
            for environ in environs:
                service.application(environ, start_response)

        on_the_way = _calls(answer) / REQUESTS
        afterwards = _calls(service.journal.flush) / REQUESTS
    assert on_the_way <= MOST_CALLS
    assert afterwards <= MOST_CALLS_OF_THE_JOURNAL


def _calls(function: Any) -> int:
    """Return the number of calls that a function makes, itself included."""
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
