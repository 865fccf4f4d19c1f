"""The compose profile `observability` watches the API and the gateway."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import Images, stamp
from stack import UNLIMITED, Report, send
from zama_ops.container_images import compose
from zama_ops.paths import ROOT
from zama_ops.programs import free_port, run, wait_until

COMPOSE = [*compose(), "--profile", "observability"]
GRAFANA = ROOT / "observability" / "grafana"
TEMPLATES = Path("/usr/share/prometheus/alertmanager")
PUBLISHED = ("API", "GATEWAY", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")

pytestmark = pytest.mark.needs("docker", "prometheus", "alertmanager")


def stand_in(folder: Path, base: str, program: str) -> str:
    """Build an image with this machine's program, because no registry is available."""
    binary = shutil.which(program)
    assert binary
    shutil.copy(binary, folder / program)
    # Debian's Alertmanager reads its templates from this folder.
    shutil.copytree(TEMPLATES, folder / "templates")
    (folder / "Dockerfile").write_text(
        f"FROM {base}\nCOPY {program} /bin/\nCOPY templates {TEMPLATES}\n"
        f'ENTRYPOINT ["/bin/{program}"]\n'
    )
    image = f"zama-stand-in-{program}:test"
    run("docker", "build", "--tag", image, str(folder))
    return image


@pytest.fixture(scope="module")
def watched(
    images: Images, tmp_path_factory: pytest.TempPathFactory, report: Report
) -> Iterator[dict[str, str]]:
    """Start the profile; yield the address of each published part."""
    ports = {name: str(free_port()) for name in PUBLISHED}
    environ = {
        **{f"{name}_PORT_PUBLISHED": port for name, port in ports.items()},
        **{
            f"{program.rpartition('-')[2].upper()}_IMAGE": stand_in(
                tmp_path_factory.mktemp("image"), images.bases["PYTHON_IMAGE"], program
            )
            for program in ("prometheus", "prometheus-alertmanager")
        },
        **UNLIMITED,
        "METRICS_PORT": "9113",
        "READY_DELAY_SECONDS": "0",
        "COMPOSE_PROJECT_NAME": stamp(),
    }
    report("Prometheus and Alertmanager in compose: this machine's; Grafana: no stand-in, not run")
    services = ["nginx", "gateway-metrics", "prometheus", "alertmanager"]
    try:
        run(*COMPOSE, "up", "-d", "--no-build", *services, **environ)
        yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        run(*COMPOSE, "down", **environ)


def ask(watched: dict[str, str], path: str) -> Any:
    return send(watched["PROMETHEUS"], path=f"/api/v1/{path}").json()["data"]


def test_prometheus_finds_both_jobs(watched: dict[str, str]) -> None:
    """It scrapes the API and the gateway's metrics under the job names in the rules."""

    def healthy() -> set[str]:
        targets = ask(watched, "targets?state=active")["activeTargets"]
        return {one["labels"]["job"] for one in targets if one["health"] == "up"}

    wait_until(lambda: healthy() == {"api", "gateway"}, "both are scraped", seconds=60)


def test_a_request_arrives_in_prometheus(watched: dict[str, str]) -> None:
    """It travels from the gateway's container to the counter's, and on to Prometheus."""
    assert send(watched["GATEWAY"], path="/openapi.json").status == 200
    query = 'query?query=gateway_requests_total{route="/openapi.json"}>0'
    wait_until(lambda: ask(watched, query)["result"], "it is counted", seconds=60)


def test_the_rules_are_loaded_and_alerts_have_a_receiver(watched: dict[str, str]) -> None:
    """All groups load without an error, and Prometheus finds Alertmanager."""
    wait_until(
        lambda: ask(watched, "alertmanagers")["activeAlertmanagers"], "Alertmanager", seconds=60
    )
    groups = ask(watched, "rules")["groups"]
    assert {group["name"] for group in groups} == {"availability", "latency", "service"}
    errors = {rule.get("lastError", "") for group in groups for rule in group["rules"]}
    assert errors == {""}
    status = send(watched["ALERTMANAGER"], path="/api/v2/status").json()
    assert "ticket" in status["config"]["original"]


def test_grafana_finds_its_files() -> None:
    """Compose mounts the provisioned files, and the dashboard uses the provisioned source."""
    service = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]["grafana"]
    mounted = dict(volume.split(":")[:2] for volume in service["volumes"])
    assert mounted["./observability/grafana/provisioning"] == "/etc/grafana/provisioning"
    (source,) = yaml.safe_load(
        (GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text()
    )["datasources"]
    assert re.fullmatch("http://prometheus:9090", source["url"])
    (provider,) = yaml.safe_load(
        (GRAFANA / "provisioning" / "dashboards" / "zama.yaml").read_text()
    )["providers"]
    folder = provider["options"]["path"]
    assert mounted["./observability/grafana/dashboards"] == folder
    (home,) = (
        line.partition("=")[2] for line in service["environment"] if "HOME_DASHBOARD" in line
    )
    dashboard = json.loads((GRAFANA / "dashboards" / Path(home).name).read_text())
    assert str(Path(home).parent) == folder
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
