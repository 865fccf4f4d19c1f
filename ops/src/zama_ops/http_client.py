"""The HTTP client that all commands, tests and benchmarks use."""

import functools
import http.client
import json
import ssl
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

USER_AGENT: Final = "zama-ops"
"""Sent with every request, because AWS's managed firewall rules block clients without one."""


class NoAnswerError(OSError):
    """The server refused the connection, closed it, or was too slow."""


@dataclass(frozen=True)
class Answer:
    """A response: status, headers by lower-case name, body, names of headers that are repeated."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    repeated: frozenset[str] = frozenset()

    @classmethod
    def read(cls, connection: http.client.HTTPConnection) -> Self:
        """Read the response to the request that was sent last."""
        response = connection.getresponse()
        fields = [(name.lower(), value) for name, value in response.getheaders()]
        counts = Counter(name for name, _ in fields)
        repeated = frozenset(name for name, count in counts.items() if count > 1)
        return cls(response.status, dict(fields), response.read(), repeated)

    def json(self) -> Any:
        """Return the decoded body; a ValueError means that it is not JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class HttpClient:
    """Sends requests, each on a separate connection.

    Arguments:
        url: scheme, host and port; the path is ignored.
        headers: sent with each request.
        connect_to: HOST:PORT to connect to instead of the URL's. Turns off certificate checks,
            because the certificate is for another name.
        insecure: accept any certificate.
        timeout: for each part of an answer, in seconds.

    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    connect_to: str | None = None
    insecure: bool = False
    timeout: float = 5

    @property
    def https(self) -> bool:
        """Whether requests are encrypted."""
        return urlsplit(self.url).scheme == "https"

    @property
    def own_headers(self) -> dict[str, str]:
        """The headers that identify the server and this client."""
        return {"Host": urlsplit(self.url).netloc, "User-Agent": USER_AGENT}

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection, not yet opened, for several requests."""
        address = self.connect_to or urlsplit(self.url).netloc
        if not self.https:
            return http.client.HTTPConnection(address, timeout=self.timeout)
        return http.client.HTTPSConnection(address, timeout=self.timeout, context=self._context)

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.insecure or self.connect_to:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send a request with the path unchanged; headers with the value None are left out.

        Raises:
            NoAnswerError: there is no answer.

        """
        given = {**self.own_headers, **self.headers, **(headers or {})}
        connection = self.connection()
        try:
            connection.request(
                method, path, body, {name: text for name, text in given.items() if text is not None}
            )
            return Answer.read(connection)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswerError(str(error) or repr(error)) from error
        finally:
            connection.close()

    def is_ready(self, path: str = "/readyz") -> bool:
        """Say whether the server answers with any status but 503."""
        try:
            return self.send("GET", path).status != 503
        except NoAnswerError:
            return False
