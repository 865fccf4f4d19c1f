"""Draw the AWS architecture, with both profiles, to arch_diagram.png."""

from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Final

from diagrams import Diagram, Edge, Node
from diagrams.aws.compute import ECR, ApplicationAutoScaling, Fargate
from diagrams.aws.compute import ElasticContainerServiceContainer as Container
from diagrams.aws.devtools import Codedeploy
from diagrams.aws.general import Users
from diagrams.aws.integration import SNS
from diagrams.aws.management import AmazonManagedGrafana as Grafana
from diagrams.aws.management import AmazonManagedPrometheus as Prometheus
from diagrams.aws.management import Cloudwatch, CloudwatchLogs, ParameterStore
from diagrams.aws.network import ALB, Endpoint, Route53
from diagrams.aws.security import ACM, KMS, WAF
from diagrams.aws.storage import S3
from diagrams.onprem.ci import GithubActions
from diagrams.onprem.iac import Terraform
from diagrams.onprem.network import Nginx
from diagrams.programming.language import Python

# The label of each variable in terraform/profiles: for minimal, for production.
OPTIONS: Final = {
    "access_logs_enabled": ("", "requests to S3,\nflows to Logs"),
    "autoscaling": ("up to 10 tasks, by\nCPU and requests", "up to 30, by CPU"),
    "container_insights_enabled": ("", "Container Insights"),
    "customer_managed_key_enabled": ("", "for parameter, logs,\ntopic and metrics"),
    "deletion_protection_enabled": ("", "deletion protection"),
    "deployment_strategy": ("blue; rolling", "blue and green"),
    "desired_count": ("2 tasks or more", "3 tasks or more"),
    "domain": ("HTTP", "HTTPS, HSTS, redirect"),
    "log_retention_days": ("kept 30 days", "kept 365 days"),
    "managed_grafana_enabled": ("", "also reads\nCloudWatch"),
    "managed_prometheus": ("", "rules and alerts"),
    "task_size": ("256 CPU units, 512 MiB", "512 CPU units, 1024 MiB"),
    "vpc": (
        "default VPC, to AWS\nover the internet",
        "own VPC, three zones;\nprivate subnets, no\ninternet egress",
    ),
    "waf": ("", "managed rules,\nrate by address"),
}

_PICTURE: Final = Path(__file__).resolve().parents[1] / "arch_diagram"

_BOTH, _MINIMAL, _PRODUCTION, _FRAME = "#1e293b", "#1d4ed8", "#b45309", "#94a3b8"

# In inches: a column, a row, an icon with its margin, a line of text.
_COLUMN, _ROW, _ICON, _LINE = 1.9, 2.1, 0.9, 0.227


def draw() -> None:
    """Draw and save the picture."""
    page = {"bgcolor": "white", "dpi": "150", "pad": "0.25"}
    # Every node has a fixed place. Texts are drawn over the arrows that would cross them.
    layout = {"layout": "neato", "outputorder": "edgesfirst", "splines": "line"}
    font = {"fontname": "DejaVu Sans Condensed", "fontsize": "14"}
    with Diagram(filename=str(_PICTURE), show=False, graph_attr=page | layout, node_attr=font):
        _draw()


def _draw() -> None:
    _text(
        1.5,
        -0.2,
        "Black: both profiles.",
        "Blue: the minimal profile.",
        "Orange: the production profile. Without the\ndashed parts, traffic passes through.",
    )

    github = _icon(
        GithubActions, 6, 0, "GitHub Actions\ntest, scan, sign, plan;\nan IAM role by OIDC"
    )
    terraform = _icon(Terraform, 5, 0, "applies that plan,\nonce approved")
    state = _icon(S3, 4, 0, "S3: state, lock,\nrecord of deploys")
    images = _icon(ECR, 6, 1, "ECR\nzama-api, zama-nginx,\nzama-collector")
    ecs = _icon(Fargate, 5, 1, "ECS on Fargate", "desired_count")
    scaling = _icon(ApplicationAutoScaling, 4, 1, "Autoscaling", "autoscaling")
    shift = _icon(Codedeploy, 3, 1, "CodeDeploy\na tenth, then all;\nback on alarm", added=True)

    _box(3.47, 2.79, 4.12, 2.26, color=_FRAME)
    task = _box(4.47, 2.79, 2, 2.12, color=_FRAME)
    _option(2, 2.98, "", "vpc")
    _option(4.5, 3.5, "each task", "task_size")
    callers = _icon(Users, 0, 1.7, "Callers")
    probe = _icon(Route53, 0, 2.5, "Route 53 health check\nevery 30 s")
    waf = _icon(WAF, 1, 2.1, "WAF", "waf", added=True)
    name = _icon(ACM, 2, 1, "ACM, Route 53\ncertificate and name,\nif domain is set", added=True)
    balancer = _icon(ALB, 2, 2.1, "Load balancer", "domain", "deletion_protection_enabled")
    targets = _icon(ALB, 3, 2.1, "Target group", "deployment_strategy")
    nginx = _icon(Nginx, 4, 2.1, "nginx gateway\nrate limit, API key")
    api = _icon(Python, 5, 2.1, "API\non localhost only")
    counter = _icon(Container, 4, 3.1, "gateway-metrics", added=True)
    collector = _icon(Container, 5, 3.1, "OpenTelemetry\ncollector", added=True)
    endpoints = _icon(Endpoint, 3, 3.1, "VPC endpoints", added=True)

    requests = _icon(S3, 1, 3.1, "Access logs", "access_logs_enabled", added=True)
    key = _icon(KMS, 1, 4.2, "KMS key", "customer_managed_key_enabled", added=True)
    keys = _icon(ParameterStore, 2, 4.2, "SSM SecureString\nAPI keys, for nginx\nat its start")
    logs = _icon(CloudwatchLogs, 3, 4.2, "CloudWatch Logs", "log_retention_days")
    watch = _icon(Cloudwatch, 4, 4.2, "CloudWatch\nalarms, dashboard", "container_insights_enabled")
    topic = _icon(SNS, 5, 4.2, "SNS topic\ne-mail, if\nalarm_email is set")
    metrics = _icon(Prometheus, 6, 4.2, "Managed Prometheus", "managed_prometheus", added=True)
    panels = _icon(Grafana, 6, 3.1, "Managed Grafana", "managed_grafana_enabled", added=True)

    _arrows(github, terraform, state)
    _arrows(github, images, ecs)
    _arrows(terraform, ecs, task)
    _arrows(scaling, ecs)
    _arrows(callers, waf, balancer, targets, nginx, api)
    _arrows(probe, waf)
    _arrows(task, endpoints, logs)
    _arrows(endpoints, keys)
    _arrows(watch, topic)
    _arrows(shift, targets, added=True)
    _arrows(name, balancer, requests, added=True)
    _arrows(nginx, counter, collector, metrics, topic, added=True)
    _arrows(api, collector, added=True)
    _arrows(panels, metrics, added=True)
    _arrows(key, keys, added=True)


def _icon(
    kind: type[Node], column: float, row: float, title: str, *options: str, added: bool = False
) -> Node:
    """Draw an icon above its title and its options; `added`: only in production."""
    _option(column, row + _ICON / 2 / _ROW, title, *options, added=added)
    kind(pos=_place(column, row), width="0.72", height="0.72")
    border = {"style": "rounded,dashed" if added else "invis", "color": _PRODUCTION}
    return _box(column, row, _ICON / _COLUMN, _ICON / _ROW, penwidth="2", **border)


def _option(column: float, top: float, title: str, *options: str, added: bool = False) -> None:
    minimal, production = (
        "\n".join(OPTIONS[option][profile] for option in options) for profile in (0, 1)
    )
    if added:
        title, production = "", f"{title}\n{production}"
    _text(column, top, title, minimal, production)


def _text(column: float, top: float, both: str, minimal: str, production: str) -> None:
    lines = [
        f'<font color="{colour}">{escape(line)}</font>'
        for colour, text in ((_BOTH, both), (_MINIMAL, minimal), (_PRODUCTION, production))
        for line in text.splitlines()
        if line
    ]
    place = _place(column, top + len(lines) * _LINE / 2 / _ROW)
    size = {"fixedsize": "false", "width": "0", "height": "0", "margin": "0.03,0.04"}
    look = {"shape": "plaintext", "style": "filled", "fillcolor": "white"}
    Node(f"<{'<br/>'.join(lines)}>", pos=place, **size, **look)


def _box(column: float, row: float, width: float, height: float, **look: str) -> Node:
    size = {"width": str(width * _COLUMN), "height": str(height * _ROW)}
    return Node(pos=_place(column, row), **size, **look)


def _place(column: float, row: float) -> str:
    return f"{column * _COLUMN},{-row * _ROW}!"


def _arrows(*nodes: Node, added: bool = False) -> None:
    look = {"color": _PRODUCTION, "style": "dashed"} if added else {"color": _BOTH}
    for source, target in pairwise(nodes):
        source >> Edge(penwidth="1.5", **look) >> target


if __name__ == "__main__":
    draw()
