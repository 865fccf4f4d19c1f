"""The load balancer's access log: gzipped objects in S3 with a line for each request.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
"""

import gzip
import re
from datetime import UTC, datetime, timedelta

from zama_ops.aws import client


def lines(balancer: str, trace: str) -> list[dict[str, str]] | None:
    """Return the lines of a trace such as 1-58337262-36d228ad5d99923122bbe354; None without a log.

    The trace, or the load balancer's own id of the request, has its time, in seconds since 1970.
    An object has five minutes, and is named by their end; a request that takes long is in the next
    one. `balancer` is the load balancer's ARN.
    """
    with client("elbv2") as elbv2:
        found = elbv2.describe_load_balancer_attributes(LoadBalancerArn=balancer)["Attributes"]
    settings = {one["Key"].removeprefix("access_logs.s3."): one["Value"] for one in found}
    if settings.get("enabled") != "true":
        return None
    began = datetime.fromtimestamp(int(trace[2:10], 16) // 300 * 300, UTC)
    _, _, _, region, account, name = balancer.split(":")
    file = f"{account}_elasticloadbalancing_{region}_{name[13:].replace('/', '.')}"
    rows = []
    with client("s3") as s3:
        for end in (began + timedelta(minutes=5), began + timedelta(minutes=10)):
            day = f"AWSLogs/{account}/elasticloadbalancing/{region}/{end:%Y/%m/%d}"
            of = {"Bucket": settings["bucket"]}
            listed = s3.list_objects_v2(**of, Prefix=f"{day}/{file}_{end:%Y%m%dT%H%MZ}")
            for one in listed.get("Contents", []):
                body = s3.get_object(**of, Key=one["Key"])["Body"].read()
                text = gzip.decompress(body).decode().splitlines()
                rows += [_row(line) for line in text if trace in line]
    # A caller can write it into the user agent as well.
    return [row for row in rows if trace in row["trace"]]


def _row(line: str) -> dict[str, str]:
    """Return the columns that the service's logs have as well."""
    # A quoted field has no quote, which the load balancer writes as \x22.
    fields = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]
    seconds = [max(0.0, float(one)) for one in fields[5:8]]
    return {
        "@timestamp": fields[1].replace("T", " ")[:23],
        "service": "load balancer",
        "status": fields[8],
        "path": re.sub(r"^\S+ \w+://[^/]*(/[^ ?]*).*", r"\1", fields[12]),
        "duration_ms": f"{1000 * sum(seconds):g}",
        "upstream_ms": f"{1000 * seconds[1]:g}",
        "trace": fields[17],
    }
