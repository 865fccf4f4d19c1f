"""The permissions and limits of a running container."""

import json
import re
from typing import Any

import pytest

from compose import ComposeStack, Container
from engine import inspect
from stack import UNLIMITED, Report, kernel_says
from zama_ops.programs import complete, run, wait_until


@pytest.fixture(scope="module")
def api(module_stack: ComposeStack) -> Container:
    return module_stack.start_api(**UNLIMITED)


@pytest.fixture(scope="module")
def gateway(module_stack: ComposeStack, api: Container) -> Container:
    return module_stack.start_gateway(api, **UNLIMITED)


@pytest.fixture(params=["api", "gateway"])
def container(request: pytest.FixtureRequest) -> Container:
    container: Container = request.getfixturevalue(request.param)
    return container


def processes(container: Container) -> dict[int, str]:
    """Return its host process ids and their arguments, without the health check's.

    The engine starts the check as `runc init`.
    """
    lines = run("docker", "top", container.id, "-eo", "pid,args").splitlines()[1:]
    found = {int(line.split()[0]): line.split(maxsplit=1)[1] for line in lines}
    return {
        pid: args for pid, args in found.items() if "health" not in args and args != "runc init"
    }


def test_only_the_expected_processes_run(api: Container, gateway: Container) -> None:
    """Each container runs an init process and its service, and nothing else."""
    init = "/sbin/docker-init -- "
    assert list(processes(api).values()) == [f"{init}python3 -m zama_api", "python3 -m zama_api"]
    running = sorted(processes(gateway).values())
    patterns = [
        # One ends nginx if the other is killed.
        r"/bin/sh /gateway/entrypoint",
        r"/bin/sh /gateway/entrypoint",
        rf"{init}/gateway/entrypoint",
        r"nginx: master process .*",
        r"nginx: worker.*",
    ]
    assert len(running) == len(patterns)
    assert all(map(re.fullmatch, patterns, running))


def test_the_container_becomes_healthy(container: Container) -> None:
    """The image's health check passes in the hardened container."""

    def health() -> Any:
        return inspect(container.id)[0]["State"]["Health"]["Status"]

    wait_until(lambda: health() == "healthy", "healthy", seconds=30)


def test_every_process_is_unprivileged(container: Container) -> None:
    """Processes are not root, have no capabilities and cannot gain any."""
    found = processes(container)
    assert found
    for pid in found:
        status = kernel_says(pid)
        assert "0" not in status["Uid"].split()
        assert "0" not in status["Gid"].split()
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[capabilities], 16) == 0
        assert status["NoNewPrivs"] == "1"


def test_the_root_file_system_is_read_only(container: Container) -> None:
    """Only the gateway's rendered configuration, in memory, is writable."""
    for folder in ("/", "/app", "/gateway", "/etc", "/var", "/home", "/usr/bin"):
        attempt = ("docker", "exec", container.id, "sh", "-c", f"echo x > {folder}/x")
        assert complete(*attempt).returncode != 0
    mounts = run("docker", "exec", container.id, "cat", "/proc/mounts").splitlines()
    for mount, kind in (line.split()[1:3] for line in mounts):
        if complete("docker", "exec", container.id, "test", "-w", mount).returncode == 0:
            assert kind == "tmpfs" or mount.startswith("/dev")


def test_the_limits_are_the_tasks(api: Container, gateway: Container) -> None:
    """Both containers together have 0.25 vCPU and 512 MiB."""
    hosts = [inspect(part.id)[0]["HostConfig"] for part in (api, gateway)]
    assert sum(host["NanoCpus"] for host in hosts) == 0.25e9
    assert sum(host["Memory"] for host in hosts) == 512 * 2**20


def test_logs_are_rotated_and_a_crash_causes_a_restart(container: Container) -> None:
    """A service cannot fill the disk with logs, and restarts after a crash."""
    host = inspect(container.id)[0]["HostConfig"]
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"


def test_both_share_one_network_namespace(api: Container, gateway: Container) -> None:
    """The gateway reaches the API on 127.0.0.1, as in an ECS task."""
    mode = inspect(gateway.id)[0]["HostConfig"]["NetworkMode"]
    assert mode == f"container:{inspect(api.id)[0]['Id']}"


def test_the_ports_are_published_on_this_machine_only(api: Container) -> None:
    """Other machines cannot reach a developer's stack."""
    bindings = inspect(api.id)[0]["HostConfig"]["PortBindings"]
    assert set(bindings) == {"8080/tcp", "8081/tcp"}
    assert {binding["HostIp"] for (binding,) in bindings.values()} == {"127.0.0.1"}


def test_a_health_check_costs_less_than_starting_python(api: Container, report: Report) -> None:
    """The mean CPU time of 20 checks shows why the check is not a Python program."""
    turns = [
        (cpu_milliseconds(api, "/app/healthcheck"), cpu_milliseconds(api, "python3 -c pass"))
        for _ in range(4)
    ]
    check, python = (sum(column) / len(turns) for column in zip(*turns, strict=True))
    report(f"health check: {check:.1f} ms of CPU, the start of Python {python:.1f} ms")
    assert check < python / 2


def cpu_milliseconds(container: Container, command: str) -> float:
    """Return the mean CPU time of five runs of a command in a container."""
    loop = f"for i in {{1..5}}; do {command} || exit 1; done; times"
    _, of_children = run("docker", "exec", container.id, "bash", "-c", loop).splitlines()
    minutes_seconds = re.findall(r"(\d+)m([\d.]+)s", of_children)
    return sum(int(minutes) * 60 + float(seconds) for minutes, seconds in minutes_seconds) * 200


def test_no_key_is_in_a_label_or_an_argument(container: Container) -> None:
    """Only the environment, which the engine shows to its own users, contains the key."""
    found = inspect(container.id)[0]
    environ = found["Config"].pop("Env")
    assert any(variable.startswith("API_KEY=") for variable in environ)
    assert "CHANGEME" not in json.dumps(found)
    assert not any("CHANGEME" in arguments for arguments in processes(container).values())
