"""Problem details for errors (RFC 9457)."""

from collections.abc import Sequence
from typing import Final

import msgspec

Header = tuple[str, str]

CONTENT_TYPE: Final[Header] = ("content-type", "application/problem+json")

# RFC 9110's reason phrases; http.HTTPStatus has different ones in different Python versions.
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
    """Raised anywhere in the request path; returned as `application/problem+json`.

    Arguments:
        status: the HTTP status, one of `TITLES`.
        detail: the error in this request, and what to send instead.
        headers: response headers for this status, such as `allow`.

    """

    def __init__(self, status: int, detail: str, headers: Sequence[Header] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.title = TITLES[status]
        self.detail = detail
        self.headers = headers

    def body(self, request_id: str) -> bytes:
        """Encode the members of RFC 9457, section 3.1, and the request id.

        `type` links to the developer portal's explanation of the problem.
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
