"""Draw the AWS architecture, with both profiles, to arch_diagram.png."""

from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Final

from diagrams import Diagram, Edge, Node
from diagrams.aws.compute import ECR, Fargate
from diagrams.aws.compute import ApplicationAutoScaling as Autoscaling
from diagrams.aws.compute import ElasticContainerServiceContainer as Container
from diagrams.aws.devtools import Codedeploy
from diagrams.aws.general import Users
from diagrams.aws.integration import SNS
from diagrams.aws.management import AmazonManagedGrafana as Grafana
from diagrams.aws.management import AmazonManagedPrometheus as Prometheus
from diagrams.aws.management import Cloudwatch, CloudwatchLogs, ParameterStore
from diagrams.aws.network import ALB, VPC, Route53
from diagrams.aws.security import ACM, WAF
from diagrams.aws.storage import S3
from diagrams.onprem.ci import GithubActions
from diagrams.onprem.iac import Terraform
from diagrams.onprem.network import Nginx
from diagrams.programming.language import Python
from PIL import Image

# The label of each variable in terraform/profiles: for minimal, for production.
OPTIONS: Final = {
    "access_logs_enabled": ("", "access logs in S3"),
    "autoscaling": ("10 tasks at most,\nby CPU, requests", "30 at most, by CPU"),
    "container_insights_enabled": ("", "Container Insights"),
    "customer_managed_key_enabled": ("", "own KMS key, also\nfor logs and alarms"),
    "deletion_protection_enabled": ("", "deletion protection"),
    "deployment_strategy": ("rolling updates", "blue and green"),
    "desired_count": ("2 tasks or more", "3 tasks or more"),
    "domain": ("HTTP", "HTTPS with HSTS"),
    "log_retention_days": ("kept 30 days", "kept 365 days"),
    "managed_grafana_enabled": ("", "also reads\nCloudWatch"),
    "managed_prometheus": ("", "rules and alerts"),
    "task_size": ("256 CPU units, 512 MiB", "512 CPU units, 1024 MiB"),
    "vpc": ("default VPC", "own VPC, three\nzones, endpoints,\nno internet egress"),
    "waf": ("", "managed rules,\nlimit by address"),
}

_PICTURE: Final = Path(__file__).resolve().parents[1] / "arch_diagram"

_BOTH, _MINIMAL, _PRODUCTION, _FRAME = "#1e293b", "#1d4ed8", "#b45309", "#94a3b8"

_Pair = tuple[float, float]
"""A column and a row, or a width and a height."""

# In inches: from one column or row to the next, and the size of a card, its icon and its title.
_COLUMN, _ROW, _WIDTH, _HEIGHT, _ICON, _TITLE = 2.15, 1.76, 1.9, 1.46, 0.46, 0.54
_POINTS: Final = 72
# The rows of the task's edges, and the last row.
_TOP, _BOTTOM, _LAST = 2.52, 4.87, 5.5


def draw() -> None:
    """Draw and save the picture."""
    # Every node has a fixed place. Four columns of this font are readable on a phone.
    page = {"bgcolor": "white", "dpi": "150", "pad": "0.15", "layout": "neato", "splines": "line"}
    font = {"fontname": "DejaVu Sans Condensed", "fontsize": "14"}
    with Diagram(filename=str(_PICTURE), show=False, graph_attr=page, node_attr=font):
        _draw()
    picture = _PICTURE.with_suffix(".png")
    Image.open(picture).convert("RGB").quantize().save(picture, optimize=True)


def _draw() -> None:
    title = f'<b><font point-size="24">{_coloured(_BOTH, "Zama API on AWS")}</font></b>'
    _text(
        (1.5, -0.81),
        (3 * _COLUMN + _WIDTH, 1.2),
        title,
        _coloured(_BOTH, "Black: both profiles"),
        _coloured(_MINIMAL, "Blue: only the minimal profile"),
        _coloured(_PRODUCTION, "Orange and dashed: only the production profile"),
    )

    callers = _card(Users, (0, 0), "Callers", "with an API key")
    probe = _card(Route53, (1, 0), "Route 53\nhealth check", "every 30 seconds")
    text = "test, scan, sign,\nplan; AWS access\nby OIDC"
    github = _card(GithubActions, (2, 0), "GitHub\nActions", text)
    terraform = _card(Terraform, (3, 0), "Terraform", "applies that plan,\nonce approved")

    waf = _card(WAF, (0, 1), "WAF", "", "waf", added=True)
    text = "certificate, name,\nif domain is set"
    name = _card(ACM, (1, 1), "ACM and\nRoute 53", text, added=True)
    images = _card(ECR, (2, 1), "ECR", "images of the API,\nthe gateway and\nthe collector")
    state = _card(S3, (3, 1), "S3", "Terraform state,\nlock, record of\ndeployments")

    balancer = _card(
        ALB,
        (0, 2),
        "Load\nbalancer",
        "",
        "domain",
        "deletion_protection_enabled",
        "access_logs_enabled",
    )
    text = "a tenth of traffic,\nthen all; back\non an alarm"
    shift = _card(Codedeploy, (1, 2), "CodeDeploy", text, added=True)
    ecs = _card(Fargate, (2, 2), "ECS on\nFargate", "", "desired_count")
    scaling = _card(Autoscaling, (3, 2), "Autoscaling", "", "autoscaling")

    frame = 2 * _COLUMN - 0.02, (_BOTTOM - _TOP) * _ROW
    _box((1.5, (_TOP + _BOTTOM) / 2), frame, color=_FRAME, style="rounded")
    size = _coloured(_BOTH, "Each task"), *_choices("task_size")
    _text((1.5, 4.66), (_COLUMN + _WIDTH - 0.1, 0.75), *size)
    targets = _card(ALB, (0, 3), "Target\ngroups", "", "deployment_strategy")
    nginx = _card(Nginx, (1, 3), "nginx\ngateway", "API key,\nrate limit")
    api = _card(Python, (2, 3), "API", "in Python, on\nlocalhost only")
    panels = _card(Grafana, (3, 3), "Managed\nGrafana", "", "managed_grafana_enabled", added=True)

    network = _card(VPC, (0, 4), "Network", "", "vpc")
    counter = _card(Container, (1, 4), "gateway-\nmetrics", "counts requests", added=True)
    collector = _card(Container, (2, 4), "collector", "OpenTelemetry", added=True)
    title = "Managed\nPrometheus"
    metrics = _card(Prometheus, (3, 4), title, "", "managed_prometheus", added=True)

    title = "SSM\nparameter"
    keys = _card(ParameterStore, (0, _LAST), title, "API keys", "customer_managed_key_enabled")
    logs = _card(CloudwatchLogs, (1, _LAST), "CloudWatch\nLogs", "", "log_retention_days")
    text = "alarms, dashboard"
    watch = _card(Cloudwatch, (2, _LAST), "CloudWatch", text, "container_insights_enabled")
    topic = _card(SNS, (3, _LAST), "SNS topic", "e-mail on alarms,\nif alarm_email\nis set")

    _arrows(callers, waf, balancer, targets, nginx, api)
    _arrows(probe, waf)
    _arrows(github, terraform, state)
    _arrows(github, images, ecs, _point((2, _TOP)))
    _arrows(scaling, ecs)
    _arrows(_point((0.5, 4)), network, keys)
    _arrows(_point((1, _BOTTOM)), logs)
    _arrows(_point((2, _BOTTOM)), watch, topic)
    _arrows(name, balancer, added=True)
    _arrows(shift, targets, added=True)
    _arrows(nginx, counter, collector, metrics, topic, added=True)
    _arrows(api, collector, added=True)
    _arrows(panels, metrics, added=True)


def _card(
    kind: type[Node], place: _Pair, title: str, text: str, *options: str, added: bool = False
) -> Node:
    """Draw a box with an icon, a title, a text and options; `added`: only in production."""
    colour, frame, style = (
        (_PRODUCTION, _PRODUCTION, "rounded,dashed") if added else (_BOTH, _FRAME, "rounded")
    )
    width, side = _WIDTH - 0.2, _ICON + 0.06
    heading = f'<b><font point-size="13">{_coloured(colour, title)}</font></b>'
    lines = "".join([_coloured(colour, text), *_choices(*options)])
    label = (
        f"{_TABLE}<tr>{_cell('', side, _TITLE)}{_cell(heading, width - side, _TITLE)}</tr>"
        f"<tr>{_cell(lines, width, _HEIGHT - 0.1 - _TITLE, 2)}</tr></table>>"
    )
    box = _box(place, (_WIDTH, _HEIGHT), label, color=frame, style=style)
    left, top = (_WIDTH - _ICON - 0.16) / 2 / _COLUMN, (_HEIGHT - _ICON - 0.16) / 2 / _ROW
    kind(pos=_position((place[0] - left, place[1] - top)), width=str(_ICON), height=str(_ICON))
    return box


_TABLE: Final = '<<table border="0" cellborder="0" cellspacing="0" cellpadding="0">'


def _cell(content: str, width: float, height: float, columns: int = 1) -> str:
    size = f'fixedsize="true" width="{width * _POINTS:.0f}" height="{height * _POINTS:.0f}"'
    valign = "middle" if columns == 1 else "top"
    place = f'align="left" balign="left" valign="{valign}" colspan="{columns}"'
    return f"<td {size} {place}>{content or ' '}</td>"


def _choices(*options: str) -> list[str]:
    """Return the labels of options, for minimal and for production."""
    return [
        _coloured(colour, "\n".join(OPTIONS[option][profile] for option in options))
        for profile, colour in enumerate((_MINIMAL, _PRODUCTION))
    ]


def _coloured(colour: str, text: str) -> str:
    lines = (f'{escape(line)}<br align="left"/>' for line in text.splitlines() if line)
    return f'<font color="{colour}">{"".join(lines)}</font>' if text.strip() else ""


def _text(place: _Pair, size: _Pair, *lines: str) -> None:
    _box(
        place, size, f"{_TABLE}<tr>{_cell(''.join(lines), *size)}</tr></table>>", shape="plaintext"
    )


def _box(place: _Pair, size: _Pair, label: str = "", **look: str) -> Node:
    width, height = map(str, size)
    look |= {"pos": _position(place), "width": width, "height": height, "labelloc": "c"}
    return Node(label, penwidth="1.5", **look)


def _point(place: _Pair) -> Node:
    """Return a place on a frame, where an arrow begins or ends."""
    return _box(place, (0, 0), style="invis")


def _position(place: _Pair) -> str:
    return f"{place[0] * _COLUMN},{-place[1] * _ROW}!"


def _arrows(*nodes: Node, added: bool = False) -> None:
    look = {"color": _PRODUCTION, "style": "dashed"} if added else {"color": _BOTH}
    for source, target in pairwise(nodes):
        source >> Edge(penwidth="1.8", **look) >> target


if __name__ == "__main__":
    draw()
