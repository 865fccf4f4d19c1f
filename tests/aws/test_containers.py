"""Running containers are as hardened as the task definition requires."""

from typing import Any

from deployment import Deployment
from engine import inspect
from zama_ops.programs import run


def containers(deployment: Deployment, name: str) -> Any:
    """Return the engine's description of this container in each task."""
    tasks = deployment.tasks()
    assert tasks
    ids = [
        container["runtimeId"]
        for task in tasks
        for container in task["containers"]
        if container["name"] == name
    ]
    return inspect(*ids)


def test_the_tasks_containers_are_hardened(minimal: Deployment) -> None:
    """Containers run without root and capabilities, on a read-only file system."""
    for name, user in {"api": "10001:10001", "nginx": "101:101"}.items():
        for container in containers(minimal, name):
            host = container["HostConfig"]
            assert container["Config"]["User"] == user
            assert host["ReadonlyRootfs"]
            assert host["CapDrop"] == ["ALL"]
            assert not host["CapAdd"]
            assert not host["Privileged"]


def test_only_nginx_reaches_the_api(minimal: Deployment) -> None:
    """The API listens on the loopback address of the task's network namespace."""
    for container in containers(minimal, "api"):
        address = container["NetworkSettings"]["IPAddress"]
        read = ("python3", "-c", "print(open('/proc/net/tcp').read())")
        listening = run("docker", "exec", container["Id"], *read)
        locals_ = [
            line.split()[1] for line in listening.splitlines()[1:] if line.split()[3:4] == ["0A"]
        ]
        assert "0100007F:1F90" in locals_, address
        assert "00000000:1F90" not in locals_
        assert "00000000:1F91" in locals_
