"""Calls to the emulator in the test's own process: no sockets, no containers."""

import asyncio
import functools
import os
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import botocore.config
from botocore.awsrequest import AWSResponse
from werkzeug.test import Client, EnvironBuilder

from zama_emulator import ACCOUNT

_MOTO = ("codedeploy", "application-autoscaling", "amp", "ec2")


@functools.cache
def empty_account() -> "Account":
    """Return this process's account. Each test uses different names."""
    return Account()


class Raw:
    """An answer's body, as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Any:
        yield self._body


class Account:
    """An empty account. Its clients send calls unchecked."""

    def __init__(self) -> None:
        os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT
        from ministack import app
        from ministack.services import ecs
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        from zama_emulator import __main__ as program
        from zama_emulator import corrections

        corrections.correct()
        ecs._get_docker = lambda: None
        self._ministack = program._application(app.app)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._clients: dict[str, Any] = {}
        self._issued: tuple[str, ...] = ()

    def client(self, service: str) -> Any:
        if service not in self._clients:
            client = boto3.client(
                service,
                region_name="eu-west-1",
                endpoint_url="http://127.0.0.1:4566",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=botocore.config.Config(
                    parameter_validation=False, retries={"total_max_attempts": 1}
                ),
            )
            send = self._to_moto if service in _MOTO else self._to_ministack
            client.meta.events.register("before-send.*", send)
            self._clients[service] = client
        return self._clients[service]

    def call(self, service: str, operation: str, given: dict[str, Any], *issued: str) -> Any:
        """Make a call, with the `issued` key and session token or else the emulator's."""
        client = self.client(service)
        method = {api: name for name, api in client.meta.method_to_api_mapping.items()}[operation]
        self._issued = issued
        return getattr(client, method)(**given)

    def _headers(self, request: Any) -> dict[str, str]:
        """Return the headers; nothing checks the signature, so one client has many callers."""
        headers = _texts(request.headers)
        if self._issued:
            key, token = self._issued
            signed = headers["Authorization"].replace("=test/", f"={key}/")
            headers |= {"Authorization": signed, "X-Amz-Security-Token": token}
        return headers

    def _to_moto(self, request: Any, **_: Any) -> AWSResponse:
        environ = EnvironBuilder(
            method=request.method,
            base_url="http://127.0.0.1:4568",
            headers=[*self._headers(request).items()],
            data=_body(request),
        ).get_environ()
        url = urlsplit(request.url)
        environ |= {
            "PATH_INFO": unquote(url.path),
            "QUERY_STRING": url.query,
            "RAW_URI": request.url.partition(url.netloc)[2],
        }
        answer = Client(self._moto).run_wsgi_app(environ)
        content, status, headers = answer
        return AWSResponse(
            request.url, int(status.split()[0]), dict(headers), Raw(b"".join(content))
        )

    def _to_ministack(self, request: Any, **_: Any) -> AWSResponse:
        url = urlsplit(request.url)
        headers = {"host": url.netloc, **self._headers(request)}
        scope = {
            "type": "http",
            "method": request.method,
            "path": unquote(url.path),
            "scheme": "http",
            "raw_path": url.path.encode(),
            "query_string": url.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": _body(request), "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(self._ministack(scope, receive, send))
        body = b"".join(message.get("body", b"") for message in sent[1:])
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return AWSResponse(request.url, sent[0]["status"], answered, Raw(body))


def _texts(headers: Any) -> dict[str, str]:
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in headers.items()}


def _body(request: Any) -> bytes:
    body = request.body or b""
    if hasattr(body, "read"):
        body = body.read()
    return body.encode() if isinstance(body, str) else bytes(body)
