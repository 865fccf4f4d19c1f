"""Accepted and refused values of each Terraform variable, at their limits."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from grammar import NAMED_KEYS, RATE, SAME_KEYS, SINGLE_KEY
from terraform import FOLDERS, terraform

API, NGINX = (f"sha256:{64 * letter}" for letter in "f0")
# CPU to the smallest and the largest memory.
FARGATE: Final = {
    256: (512, 2048),
    512: (1024, 4096),
    1024: (2048, 8192),
    2048: (4096, 16384),
    4096: (8192, 30720),
}
RATE_LIMIT: Final = {"rate": 5, "burst": 5}
# The maximum, so that `desired_count` meets only its own limit.
AUTOSCALING: Final = {"max_count": 1000, "cpu_percent": 60, "requests_per_minute": 60000}
VPC: Final = {"cidr": "10.20.0.0/16", "zones": ["a", "b"]}
DOMAIN: Final = {"name": "api.example.com", "zone_id": "Z0123456789ABC"}
USER: Final = "7c1f0e2a-3b4d-4c5e-8f60-718293a4b5c6"
WAF: Final = {"requests_per_5_minutes": 2000}

NAME_PREFIX: Final = (
    ["abc", "abcdefghijklmnopqrst"],
    ["ab", "abcdefghijklmnopqrstu", "Zama", "-zama", "zama-", "zama--challenge"],
)
REGION: Final = (["eu-west-1", "us-gov-west-1"], ["Ireland", "eu-west", "eu-west-10"])

# Folder to variable to accepted values and refused values.
VALUES: Final[dict[str, dict[str, tuple[list[Any], list[Any]]]]] = {
    "service": {
        "region": REGION,
        "name_prefix": NAME_PREFIX,
        "image_tag": (
            ["v1.2.3_final-1", 128 * "a"],
            ["latest", "", "-1a2b3c4", 129 * "a"],
        ),
        "image_digests": (
            [{"api": API, "nginx": NGINX}],
            [
                {"api": API, "nginx": text}
                for text in ("1a2b3c4", NGINX[:-1], API.replace("f", "F"))
            ],
        ),
        "desired_count": ([1, 100], [0, 1.5, 101]),
        "task_size": (
            [{"cpu": cpu, "memory": memory} for cpu in FARGATE for memory in FARGATE[cpu]],
            [
                {"cpu": 300, "memory": 1024},
                *({"cpu": cpu, "memory": least // 2} for cpu, (least, _) in FARGATE.items()),
                *({"cpu": cpu, "memory": most + 1024} for cpu, (_, most) in FARGATE.items()),
            ],
        ),
        "rate_limit": (
            [{"rate": rate, "burst": rate} for rate in RATE.accepted.values()],
            # The variable's type refuses everything that is not a number.
            [
                RATE_LIMIT | {name: float(text)}
                for name in RATE_LIMIT
                for text in RATE.refused
                if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text)
            ],
        ),
        # The roles may only read below /zama.
        "api_key_ssm_name": (
            ["/zama/a", "/zama" + 14 * "/a"],
            ["api_key", "/zama2/api_key", "/ssm/api_key", "/zama//api_key", "/zama" + 15 * "/a"],
        ),
        "api_key_value": (
            [*NAMED_KEYS.accepted, *(key for key in SINGLE_KEY.accepted if "=" not in key)],
            [*NAMED_KEYS.refused, *SAME_KEYS.refused, *SINGLE_KEY.refused, ""],
        ),
        "api_key_version": ([1], [0, 1.5]),
        "autoscaling": (
            [
                {"max_count": 2, "cpu_percent": 10, "requests_per_minute": 60},
                {"max_count": 1000, "cpu_percent": 90, "requests_per_minute": 1000000},
            ],
            [
                # 1 is less than `desired_count`.
                *(AUTOSCALING | {"max_count": count} for count in (1, 2.5, 1001)),
                *(AUTOSCALING | {"cpu_percent": percent} for percent in (9, 91, 95)),
                *(AUTOSCALING | {"requests_per_minute": requests} for requests in (1, 59)),
            ],
        ),
        "deployment_strategy": (["rolling", "blue_green"], ["canary"]),
        "vpc": (
            # The largest network for the largest number of tasks, and the smallest for its own.
            [VPC, VPC | {"zones": list("abcdef")}, {"cidr": "10.20.0.0/18", "zones": ["a", "b"]}],
            [
                *(VPC | {"zones": list(zones)} for zones in ("a", "aa", "ai", "abcdefg")),
                *(
                    VPC | {"cidr": cidr}
                    for cidr in ("10.20.0.0", "10.20.0.0/21", "10.20.1.5/16", "10.0.0.0/8")
                ),
                # Too small for 2,000 tasks, which AUTOSCALING allows during a deployment.
                {"cidr": "10.20.0.0/19", "zones": ["a", "b"]},
            ],
        ),
        "domain": (
            [{"name": "a.io", "zone_id": "Z" + count * "A"} for count in (1, 31)],
            [
                *(DOMAIN | {"name": name} for name in ("example", "API.a.io", "https://a.io")),
                *(DOMAIN | {"zone_id": text} for text in ("example.com", "Z", "Z" + 32 * "A")),
            ],
        ),
        "waf": (
            [
                {"requests_per_5_minutes": 10, "allowed_cidrs": ["192.0.2.1/32", "0.0.0.0/1"]},
                {"requests_per_5_minutes": 2000000000, "denied_cidrs": ["192.0.2.1/32"]},
            ],
            [
                {"requests_per_5_minutes": 9},
                {"requests_per_5_minutes": 2000000001},
                WAF | {"allowed_cidrs": ["0.0.0.0/0"]},
                *(WAF | {"denied_cidrs": [cidr]} for cidr in ("example.com", "2001:db8::/32")),
            ],
        ),
        "alarm_email": (["a@b.c"], ["on call", "oncall@example"]),
        "pager_url": (
            ["https://pager.example/"],
            ["http://pager.example/", "https://pager.example", "https://pager.example/a b"],
        ),
        "log_retention_days": (
            [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731],
            [0, 10, 732],
        ),
        "managed_prometheus": (
            [{"collector_tag": "v0.0.0"}],
            [{"collector_tag": tag} for tag in ("latest", "v0.45", "0.45.0")],
        ),
        # It needs Managed Prometheus, which is off here.
        "managed_grafana_enabled": ([False], [True]),
        "grafana_access": (
            [
                {},
                {"ADMIN": {"group_ids": [f"9a67295558-{USER}"]}, "VIEWER": {"user_ids": [USER]}},
            ],
            [
                {"OWNER": {"user_ids": [USER]}},
                {"EDITOR": {}},
                *({"EDITOR": {"user_ids": [text]}} for text in ("a@b.c", USER[1:], f"1-{USER}")),
            ],
        ),
    },
    "bootstrap": {
        "region": REGION,
        "name_prefix": NAME_PREFIX,
        "github_repository": (["a/b", "a-1/b.c_d"], ["example/*", "example", "a/b/c"]),
        "github_ids": (
            [{"owner": "1", "repository": "1296269"}],
            [
                {"owner": "1", "repository": text}
                for text in ("", "0", "01", "-1", "1.5", "a/b", "1:ref", "*")
            ],
        ),
        "zone_id": (
            ["Z" + count * "A" for count in (1, 31)],
            ["example.com", "*", "Z", "Z" + 32 * "A", "z0123456789abc"],
        ),
    },
}
OTHERS: Final[dict[str, dict[str, Any]]] = {
    "service": {"image_tag": "1a2b3c4", "autoscaling": AUTOSCALING},
    "bootstrap": {"github_repository": "a/b"},
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_value_is_accepted_or_refused_by_its_own_variable(folder: str, tmp_path: Path) -> None:
    """Variables need no provider, so each value takes milliseconds."""
    variables = (FOLDERS[folder] / "variables.tf").read_text()
    (tmp_path / "variables.tf").write_text(variables)
    runs = {
        f"{name}_{number}": {
            "command": "plan",
            "variables": {name: value},
            "expect_failures": [] if value in accepted else [f"var.{name}"],
        }
        for name, (accepted, refused) in VALUES[folder].items()
        for number, value in enumerate([*accepted, *refused])
    }
    test = {"variables": OTHERS[folder], "run": runs}
    (tmp_path / "inputs.tftest.json").write_text(json.dumps(test))
    done = terraform(tmp_path, tmp_path / "data", "test", "-no-color")
    failed = re.findall(r'run "(\w+)"\.\.\. fail', done.stdout)
    assert not failed, f"{[runs[name]['variables'] for name in failed]}\n{done.stderr}"
    assert f"Success! {len(runs)} passed" in done.stdout, done.stdout + done.stderr
    validated = re.findall(
        r'^variable "(\w+)" \{(?:\n(?!\}).*)*validation', variables, re.MULTILINE
    )
    assert set(validated) == set(VALUES[folder])
