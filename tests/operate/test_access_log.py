"""The load balancer's line of a request is found in its access log."""

import gzip
import io
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, Final

import pytest

from zama_ops import access_log

TRACE: Final = "1-67ab9e33-0123456789abcdef01234567"
ARN: Final = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/zama/50dc"
LINE: Final = (
    "http 2025-02-11T19:00:05.186641Z app/zama/50dc 192.168.131.39:2817 10.0.0.1:80 0.001 0.250 -1"
    ' 502 - 34 366 "POST http://api.example.com:80/sum?a=1 HTTP/1.1" "a \\x22b\\" - - arn:aws:1'
    f' "Self={TRACE};Root=1-00000000-0" "-" "-" 0 2025-02-11T19:00:04.935641Z "forward" "-" "-"\n'
)
FILE: Final = (
    "AWSLogs/1/elasticloadbalancing/eu-west-1/2025/02/11/1_elasticloadbalancing_eu-west-1_app"
)


@pytest.mark.parametrize(("enabled", "ended"), [("true", "05"), ("true", "10"), ("false", "05")])
def test_the_line_of_a_trace_is_found(
    monkeypatch: pytest.MonkeyPatch, enabled: str, ended: str
) -> None:
    """It is in the object of its five minutes or in the next one; other objects are not read."""
    other = LINE.replace(TRACE, TRACE[:-1] + "8").replace("x22b", TRACE)
    objects = {f"{FILE}.zama.50dc_20250211T19{ended}Z_10.0.0.9_a.log.gz": other + LINE + other}
    objects |= {f"{FILE}.zama.50dc_20250211T1915Z": LINE, f"{FILE}.other.50dc_20250211T1905Z": LINE}
    settings = {"access_logs.s3.enabled": enabled, "access_logs.s3.bucket": "logs"}
    attributes = [{"Key": name, "Value": value} for name, value in settings.items()]

    def listed(**asked: str) -> Any:
        assert asked.keys() == {"Bucket", "Prefix"}
        assert asked["Bucket"] == "logs"
        found = [name for name in objects if name.startswith(asked["Prefix"])]
        return {"Contents": [{"Key": name} for name in found]}

    account = SimpleNamespace(
        describe_load_balancer_attributes=lambda **_: {"Attributes": attributes},
        list_objects_v2=listed,
        get_object=lambda **of: {"Body": io.BytesIO(gzip.compress(objects[of["Key"]].encode()))},
    )
    monkeypatch.setattr(access_log, "client", lambda _: nullcontext(account))
    row = {
        "@timestamp": "2025-02-11 19:00:05.186",
        "service": "load balancer",
        "status": "502",
        "path": "/sum",
        "duration_ms": "251",
        "upstream_ms": "250",
        "trace": f"Self={TRACE};Root=1-00000000-0",
    }
    assert access_log.lines(ARN, TRACE) == ([row] if enabled == "true" else None)
