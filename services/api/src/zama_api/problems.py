"""Errors, as the caller sees them: problem details (RFC 9457)."""

from collections.abc import Sequence
from typing import Final

import msgspec

Header = tuple[str, str]

CONTENT_TYPE: Final[Header] = ("content-type", "application/problem+json")

# The reason phrases of RFC 9110; those of http.HTTPStatus differ between versions of Python.
TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

_ENCODER: Final = msgspec.json.Encoder()


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """Raised anywhere on a request's way; answered as `application/problem+json`.

    Arguments:
        status: the HTTP status, one of `TITLES`.
        detail: what is wrong with this request and what to send instead.
        headers: response headers that belong to the status, such as `allow`.

    """

    def __init__(self, status: int, detail: str, headers: Sequence[Header] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.title = TITLES[status]
        self.detail = detail
        self.headers = headers

    def body(self, request_id: str) -> bytes:
        """Encode the members of RFC 9457, section 3.1, and the request's id.

        `type` is the place in the developer portal that explains the problem and its cure.
        """
        return _ENCODER.encode(
            {
                "type": f"/docs#{self.title.lower().replace(' ', '-')}",
                "title": self.title,
                "status": self.status,
                "detail": self.detail,
                "request_id": request_id,
            }
        )
