"""AWS on this machine: MiniStack and moto, corrected where a deployment would see the difference.

MiniStack runs ECS tasks as real containers and load balancers as a real proxy; moto keeps EC2's
networks more faithfully, and knows the services that MiniStack lacks; Managed Grafana, which
neither knows, is `grafana`. The other modules replace single functions of both, whose releases are
pinned.

What is not emulated, so that nobody takes it for proven:

- security groups, route tables and endpoints: they exist, but no packet is filtered by them;
- the load balancer's address: requests come from the Docker network, not from the VPC, so the
  gateway does not believe what they say of their callers;
- IAM: policies exist and can be simulated, but no call is refused;
- WAF: its rules exist, but no request is matched;
- CodeDeploy, Application Auto Scaling, Managed Prometheus and Grafana, and Route 53's health
  checks: they accept what Terraform sends and do nothing;
- the registry: images are found in the Docker engine by the names that ECR gave them;
- the metrics that load balancers and tasks send to CloudWatch: alarms are evaluated, metric math
  included, but on what somebody puts there;
- Fargate's share of a CPU: each container may use the task's whole size.
"""

from typing import Final

PORTS: Final = 3
"""Ports in a row that an emulator listens on: HTTP, HTTPS, moto."""

ACCOUNT: Final = "000000000000"
"""The account's number."""

_REGION: Final = "eu-west-1"
_MOTO: Final = ("AMP", "APPLICATION_AUTO_SCALING", "CODEDEPLOY", "EC2")


def environment(port: int) -> dict[str, str]:
    """Return the settings by which AWS clients find the emulator whose first port this is."""
    return {
        # By address, so that S3 clients put the bucket into the path.
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        **{f"AWS_ENDPOINT_URL_{service}": f"http://127.0.0.1:{port + 2}" for service in _MOTO},
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }
