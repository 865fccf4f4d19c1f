"""Commands report bad input, missing settings and services that do not answer in one line."""

from typing import Final

import pytest
from typer.testing import CliRunner

from zama_ops.aws import client, session
from zama_ops.cli import app
from zama_ops.errors import CommandError
from zama_ops.programs import free_port

SETTINGS: Final = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "NO_PROXY": "*",
}


@pytest.fixture
def nobody() -> str:
    """Return a URL where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(autouse=True)
def _only_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    # It remembers the credentials of the first client.
    session.cache_clear()


def told(words: list[str], code: int) -> str:
    """Run a command, which must exit with a code and print one line; return the line."""
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


# --- AWS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["status"], ["logs"], ["keys", "list"], ["rollback"]])
def test_an_aws_that_does_not_answer_is_one_line(
    monkeypatch: pytest.MonkeyPatch, nobody: str, words: list[str]
) -> None:
    """The line names the URL and the settings to check."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", nobody)
    line = told(words, 1)
    assert line.startswith("zama: The AWS request failed: Could not connect")
    assert nobody in line
    assert line.endswith("Check the network, AWS_REGION and AWS_ENDPOINT_URL.")


@pytest.mark.parametrize(
    ("url", "requests"), [("http://127.0.0.1:9", 1), ("http://logs.amazonaws.com.invalid", 5)]
)
def test_only_aws_itself_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, url: str, requests: int
) -> None:
    """Where nothing listens, the command ends at once; failures of AWS can be short."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setattr("time.sleep", lambda _: None)
    sent = []

    def ask() -> None:
        with client("logs") as aws:
            aws.meta.events.register("before-send", lambda **_: sent.append(1))
            aws.describe_log_groups()

    with pytest.raises(CommandError, match="Could not connect"):
        ask()
    assert len(sent) == requests


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_REGION", "", "Set AWS_REGION, for example to eu-west-1."),
        ("AWS_ACCESS_KEY_ID", "", "or set AWS_PROFILE."),
        ("AWS_PROFILE", "nope", "(nope) could not be found. Set AWS_PROFILE to a name"),
        ("AWS_ENDPOINT_URL", "localhost:4566", "Check AWS_ENDPOINT_URL, a URL."),
        ("AWS_REGION", "eu west", "'eu west' doesn't match a supported format"),
    ],
)
def test_a_missing_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    """The line says what to set."""
    if value:
        monkeypatch.setenv(name, value)
    else:
        monkeypatch.delenv(name)
        monkeypatch.delenv(name.replace("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"), raising=False)
    assert words in told(["logs"], 1)


# --- The service ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["smoke", pytest.param("load", marks=pytest.mark.needs("wrk"))])
def test_a_service_that_does_not_answer_is_one_line(nobody: str, command: str) -> None:
    """It comes at once: `zama load` does not send its requests."""
    line = told([command, nobody], 1)
    assert line == f"zama: {nobody} does not answer: [Errno 111] Connection refused"


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:8081", "ftp://localhost", "http://", "http://:8081", "http://localhost:abc"),
        *("http://localhost:0", "http://localhost:65536", "http://[::1", "http://a b", "http://.."),
        *(f"http://{64 * 'a'}.com", "http://key@localhost"),
    ],
)
@pytest.mark.parametrize("command", ["smoke", "load"])
def test_an_invalid_url_is_one_line(command: str, url: str) -> None:
    """Nothing is sent."""
    assert told([command, url], 2) == f"zama: {url!r} is not a URL such as http://localhost:8081"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", ":8081", "127.0.0.1:65536"])
def test_an_invalid_address_is_one_line(address: str) -> None:
    """CONNECT_TO is HOST:PORT."""
    line = told(["smoke", "http://localhost", "--connect-to", address], 2)
    assert line == f"zama: {address!r} is not HOST:PORT such as 127.0.0.1:8081"


@pytest.mark.parametrize("key", ["a\nb", "a b", "€"])
def test_a_key_that_cannot_be_sent_is_one_line(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """The line does not contain the key."""
    monkeypatch.setenv("API_KEY", key)
    line = told(["smoke", "http://localhost"], 2)
    assert line == "zama: API_KEY has a character that no key has: copy the key again"


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(
            ["load", "http://localhost", "--json", "--report", "/dev/null/load"],
            "The report cannot be written: ",
            marks=pytest.mark.needs("wrk"),
        ),
        pytest.param(
            ["drill", "silence", "--picture", "/dev/null/a.png"],
            "The picture cannot be written: ",
            marks=pytest.mark.needs("prometheus"),
        ),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line(words: list[str], message: str) -> None:
    """It is noticed before the work begins."""
    assert told(words, 1).startswith(f"zama: {message}")
