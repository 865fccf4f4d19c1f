"""The service as most Python teams would write it: FastAPI on uvicorn, a JSON line per request."""

import logging
import sys
import time
import uuid
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pythonjsonlogger.json import JsonFormatter

Int64 = Field(ge=-(2**63), le=2**63 - 1)

handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(JsonFormatter("{asctime}{levelname}{message}", style="{"))
logger = logging.getLogger("service")
logger.addHandler(handler)
logger.setLevel(logging.INFO)

app = FastAPI()


class Addends(BaseModel):
    """The two numbers to add."""

    model_config = ConfigDict(extra="forbid", strict=True)

    a: int = Int64
    b: int = Int64


class Sum(BaseModel):
    """Their sum."""

    sum: int


@app.middleware("http")
async def log(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Log each request, and give it an id."""
    began = time.perf_counter()
    request_id = request.headers.get("x-request-id") or uuid.uuid4().hex
    response = await call_next(request)
    response.headers["x-request-id"] = request_id
    logger.info(
        "request",
        extra={
            "request_id": request_id,
            "method": request.method,
            "path": request.url.path,
            "status": response.status_code,
            "duration_ms": round((time.perf_counter() - began) * 1000, 3),
            "remote_addr": request.client.host if request.client else "",
        },
    )
    return response


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Report that the service is alive."""
    return {"status": "ok"}


@app.post("/sum")
async def add(addends: Addends) -> Sum:
    """Add two integers."""
    return Sum(sum=addends.a + addends.b)
