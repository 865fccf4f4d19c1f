"""Problem details for errors (RFC 9457)."""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

Header = tuple[str, str]

CONTENT_TYPE: Final[Header] = ("content-type", "application/problem+json")

# RFC 9110's reason phrases; http.HTTPStatus has different ones in different Python versions.
TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

# In ASCII, because a fault has text of the caller, which could act on a terminal.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class Fault(NamedTuple):
    """A fault in a body: its place, as a JSON pointer (RFC 6901), and a sentence."""

    pointer: str
    detail: str


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """Raised anywhere in the request path; returned as `application/problem+json`.

    Arguments:
        status: the HTTP status, one of `TITLES`.
        detail: the error in this request, and what to send instead.
        headers: response headers for this status, such as `allow`.
        faults: for 422, the faults of the body.

    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Sequence[Header] = (),
        faults: Sequence[Fault] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = TITLES[status]
        self.detail = detail
        self.headers = headers
        self.faults = faults

    def body(self, request_id: str, public_url: str) -> bytes:
        """Encode the members of RFC 9457, section 3.1, the request id and the faults.

        `type` links to the developer portal's explanation of the problem, at `public_url` if that
        is not empty.
        """
        members: dict[str, Any] = {
            "type": f"{public_url}/docs#{self.title.lower().replace(' ', '-')}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.faults:
            members["errors"] = [fault._asdict() for fault in self.faults]
        return _encode(members).encode()
