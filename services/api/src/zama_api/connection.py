"""The callers' connections: HTTP/1.1 requests from bytes, and responses to bytes (RFC 9112)."""

import asyncio
import re
from collections.abc import Callable
from email.utils import formatdate
from io import BytesIO
from typing import Any, Final, cast
from urllib.parse import unquote
from wsgiref.types import WSGIApplication

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from zama_api.app import MAX_BODY_BYTES
from zama_api.problems import Problem

# Longer than the 60 s for which the gateway keeps idle connections to the API, so that the gateway
# always closes them first: a request never meets a closing connection.
KEEP_ALIVE_SECONDS: Final = 75
# From a request's first byte to its last, however it is sliced; and for a caller to take its
# response. As long as the gateway waits for a body.
REQUEST_SECONDS: Final = 10
MOST_HEADERS: Final = 100
MAX_HEAD_BYTES: Final = 16 * 1024
MAX_TARGET_BYTES: Final = 8 * 1024

_CLOSE: Final = ("connection", "close")
# The headers that the application reads, by their names in environ (PEP 3333).
_KNOWN: Final = {
    b"content-type": "CONTENT_TYPE",
    b"expect": "HTTP_EXPECT",
    b"traceparent": "HTTP_TRACEPARENT",
    b"transfer-encoding": "HTTP_TRANSFER_ENCODING",
    b"x-amzn-trace-id": "HTTP_X_AMZN_TRACE_ID",
    b"x-api-client": "HTTP_X_API_CLIENT",
    b"x-api-key": "HTTP_X_API_KEY",
    b"x-request-id": "HTTP_X_REQUEST_ID",
}
# The versions and transfer codings of requests (RFC 9112, sections 2.3 and 6.1).
_FRAMINGS: Final = {("1.1", ""), ("1.1", "chunked"), ("1.0", "")}
_MALFORMED: Final = "This is not a valid HTTP request."
_COMMON_METHODS: Final = (b"POST ", b"GET ", b"HEAD ")
_method: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ").match


class Connections:
    """The open connections, whose requests one thread answers.

    Arguments:
        application: answers the requests; must not wait for anything.
        most: the number of connections; a further caller replaces the longest waiting caller.

    """

    def __init__(self, application: WSGIApplication, most: int) -> None:
        self.application = application
        self.open: set[Connection] = set()
        self.date = ""
        self._most = most
        self.set_date()

    def accept(self) -> "Connection":
        """Return the protocol of a new connection."""
        if len(self.open) >= self._most:
            max(self.open, key=lambda one: one.waited_seconds).abort()
        return Connection(self)

    def tick(self) -> None:
        """End the connections that take too long; to be called every second."""
        self.set_date()
        for connection in [*self.open]:
            connection.tick()

    def set_date(self) -> None:
        """Update the time in the responses' headers (RFC 9110, section 6.6.1)."""
        self.date = formatdate(usegmt=True)

    def close_idle(self) -> None:
        """Close the connections that have no request in flight."""
        for connection in [*self.open]:
            connection.close_if_idle()


class Connection(asyncio.Protocol):
    """A connection; `httptools` parses its requests and calls the methods named `on_...`."""

    _transport: asyncio.Transport
    _parser: HttpRequestParser

    def __init__(self, connections: Connections) -> None:
        # Since the last request began or ended.
        self.waited_seconds = 0
        self._connections = connections
        self._application = connections.application
        self._address = ""
        # The request that is arriving; empty between requests.
        self._environ: dict[str, Any] = {}
        self._method = ""
        self._target = self._body = b""
        self._in_body = False
        self._headers = self._head_bytes = self._received = 0
        # Whether the last response was sent; anything that still arrives is ignored.
        self._ended = False
        self._status = ""
        self._response_headers: list[tuple[str, str]] = []

    # --- Called by the event loop -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's class has the methods of asyncio.Transport, but not the class itself as a base.
        self._transport = cast("asyncio.Transport", transport)
        self._parser = HttpRequestParser(self)
        # None if the caller has gone.
        self._address = (transport.get_extra_info("peername") or ("",))[0]
        self._connections.open.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """End; the parser refers to this object."""
        self._connections.open.discard(self)
        del self._parser

    def data_received(self, data: bytes) -> None:
        """Answer the requests that are complete."""
        if self._ended:
            return
        if not self._environ and not data.startswith(_COMMON_METHODS) and (m := _method(data)):
            # The parser refuses methods that it does not know; the application answers 405.
            self._method = m[1].decode()
            data = b"GET " + data[m.end() :]
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            # The request was answered; this server speaks no other protocol.
            self._end()
        except HttpParserError as error:
            self._refuse_because(error)
        else:
            if self._environ and not self._in_body and self._received > MAX_HEAD_BYTES:
                self._refuse(self._too_large())

    def eof_received(self) -> None:
        """Refuse an incomplete request; the event loop then closes the connection."""
        if self._environ:
            self._refuse(Problem(400, "The request is incomplete."))

    def pause_writing(self) -> None:
        """Stop reading while the caller does not read its responses."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    # --- Called by the parser ---------------------------------------------------------------------

    def on_message_begin(self) -> None:  # noqa: D102
        self._environ = {"REMOTE_ADDR": self._address}
        self._target = self._body = b""
        self._in_body = False
        self._headers = self._head_bytes = 0
        self.waited_seconds = 0

    def on_url(self, target: bytes) -> None:  # noqa: D102 - a part of it, if it arrives in parts
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        self._headers += 1
        if self._received > MAX_HEAD_BYTES:
            self._head_bytes += len(name) + len(value)
        if self._headers > MOST_HEADERS or self._head_bytes > MAX_HEAD_BYTES:
            raise self._too_large()
        known = _KNOWN.get(name.lower())
        # Ignore the trailers of a chunked body.
        if known and not self._in_body:
            text = value.decode("latin-1")
            environ = self._environ
            environ[known] = f"{environ[known]},{text}" if known in environ else text

    def on_headers_complete(self) -> None:  # noqa: D102
        self._in_body = True
        if len(self._target) > MAX_TARGET_BYTES:
            raise self._too_large()
        version = self._parser.get_http_version()
        coding = self._environ.get("HTTP_TRANSFER_ENCODING", "").lower()
        # The parser accepts other versions, and any list of codings that ends with `chunked`.
        if (version, coding) not in _FRAMINGS:
            raise Problem(400, _MALFORMED)
        path = self._target.decode("latin-1").partition("?")[0]
        if not path.startswith("/"):
            # An absolute URL (RFC 9112, section 3.2.2).
            path = "/" + path.partition("://")[2].partition("/")[2]
        self._environ["PATH_INFO"] = unquote(path, "latin-1") if "%" in path else path
        if version == "1.1" and self._environ.get("HTTP_EXPECT", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:  # noqa: D102
        if not self._ended:
            self._body += body
            if len(self._body) > MAX_BODY_BYTES:
                # The application refuses it; do not wait for the rest.
                self._answer(keep=False)

    def on_message_complete(self) -> None:  # noqa: D102
        if not self._ended:
            self._answer(keep=self._parser.should_keep_alive())

    # --- Time -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Count a second, and end the connection if it takes too long."""
        self.waited_seconds += 1
        if self.waited_seconds <= (REQUEST_SECONDS if self._busy else KEEP_ALIVE_SECONDS):
            return
        if self._environ:
            self._refuse(Problem(408, "The request took too long to arrive."))
        else:
            self.abort()

    def close_if_idle(self) -> None:
        """Close the connection unless a request or a response is on its way."""
        if not self._environ and not self._transport.get_write_buffer_size():
            self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    @property
    def _busy(self) -> bool:
        unsent = self._transport.get_write_buffer_size()
        return self._ended or bool(self._environ) or unsent > 0

    # --- Responses --------------------------------------------------------------------------------

    def _answer(self, *, keep: bool) -> None:
        environ = self._environ
        method = self._method or (self._target and self._parser.get_method()).decode()
        environ["REQUEST_METHOD"] = method
        environ["wsgi.input"] = BytesIO(self._body)
        body = b"".join(self._application(environ, self._start_response))
        headers = self._response_headers
        if _CLOSE in headers:
            keep = False
        elif not keep:
            headers.append(_CLOSE)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
        head = (
            f"HTTP/1.1 {self._status}\r\n{lines}date: {self._connections.date}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode("latin-1")
        self._transport.write(head if method == "HEAD" else head + body)
        self._environ = {}
        self._method = ""
        self._received = self.waited_seconds = 0
        if not keep:
            self._end()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], _error: Any = None, /
    ) -> Callable[[bytes], object]:
        self._status = status
        self._response_headers = headers
        return self._transport.write

    def _refuse_because(self, error: HttpParserError) -> None:
        cause = error.__context__
        if isinstance(cause, Problem):
            self._refuse(cause)
        elif isinstance(error, HttpParserCallbackError):
            raise error
        elif not self._ended:
            self._refuse(Problem(400, _MALFORMED))

    def _refuse(self, problem: Problem) -> None:
        """Have the application answer a request that cannot be read, as it answers all others."""
        self._environ = {"PATH_INFO": "", **self._environ, "zama.problem": problem}
        self._answer(keep=False)

    def _too_large(self) -> Problem:
        if len(self._target) > MAX_TARGET_BYTES:
            return Problem(414, f"The request line is over {MAX_TARGET_BYTES // 1024} KiB.")
        return Problem(
            431,
            "The request's header is too large: at most"
            f" {MOST_HEADERS} lines and {MAX_HEAD_BYTES // 1024} KiB.",
        )

    def _end(self) -> None:
        # Closing at once would reset the connection if the caller still sends, and the caller might
        # not get the response. Half-closed, it waits for the caller to close.
        self._ended = True
        self.waited_seconds = 0
        self._transport.write_eof()
