"""`zama keys`, as far as it needs no running service."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from deployment import zama
from stack import ZAMA
from zama_ops.emulated_account import EmulatedAccount, temporary_account
from zama_ops.errors import CommandError
from zama_ops.keyring import MOST_BYTES, Key, Keyring, joined, parse
from zama_ops.programs import complete

PREFIX: Final = "zama-challenge"
PARAMETER: Final = "/zama/api/api_key"


class Operator:
    """Runs `zama keys` on an account with a service without tasks."""

    def __init__(self, account: EmulatedAccount) -> None:
        self.account = account
        self.ssm = account.client("ssm")
        self.key_id = account.client("kms").create_key()["KeyMetadata"]["KeyId"]
        ecs = account.client("ecs")
        ecs.create_cluster(clusterName=PREFIX)
        arn = f"arn:aws:ssm:eu-west-1:000000000000:parameter{PARAMETER}"
        containers = [
            {"name": "api", "image": "api:1a2b3c4", "memory": 128},
            {
                "name": "nginx",
                "image": "nginx:1a2b3c4",
                "memory": 128,
                "secrets": [{"name": "API_KEYS", "valueFrom": arn}],
            },
        ]
        role = "arn:aws:iam::000000000000:role/execution"
        ecs.register_task_definition(
            family=PREFIX, executionRoleArn=role, containerDefinitions=containers
        )
        ecs.create_service(
            cluster=PREFIX, serviceName=PREFIX, taskDefinition=PREFIX, desiredCount=0
        )

    def put(self, text: str, tier: str = "Standard") -> None:
        """Write the parameter as Terraform or an operator would."""
        self.ssm.put_parameter(
            Name=PARAMETER,
            Value=text,
            Type="SecureString",
            Overwrite=True,
            KeyId=self.key_id,
            Description="API keys",
            Tier=tier,
        )

    def text(self) -> str:
        response = self.ssm.get_parameter(Name=PARAMETER, WithDecryption=True)
        return str(response["Parameter"]["Value"])

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command without writing to its standard input."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [str(ZAMA), "keys", *words],
            env={**os.environ, **self.account.environ()},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def keys(self, *words: str, given: str = "") -> tuple[int, str, str]:
        """Run a command; return its exit code, standard output and standard error."""
        done = zama(self.account, "keys", *words, given=given)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def operator() -> Iterator[Operator]:
    with temporary_account() as account:
        yield Operator(account)


def test_a_key_is_printed_once_and_added(operator: Operator) -> None:
    """Only the key goes to standard output, and the rest of the parameter is unchanged."""
    operator.put("default=CHANGEME")
    code, stdout, stderr = operator.keys("issue", "acme")
    assert code == 0
    old, new = parse(operator.text())
    assert (old.client, new.client) == ("default", "acme")
    assert stdout == new.secret + "\n"
    assert new.secret not in stderr
    assert "zama keys deploy" in stderr
    (described,) = operator.ssm.describe_parameters(
        ParameterFilters=[{"Key": "Name", "Option": "Equals", "Values": [PARAMETER]}]
    )["Parameters"]
    # Without the key's id, SSM would encrypt with another key, which the tasks cannot use.
    assert described["KeyId"] == operator.key_id
    assert (described["Type"], described["Description"]) == ("SecureString", "API keys")
    assert [one["Name"] for one in operator.ssm.describe_parameters()["Parameters"]] == [PARAMETER]


def test_the_first_key_replaces_terraforms_placeholder(operator: Operator) -> None:
    """The placeholder is not a key."""
    operator.put("unset")
    assert operator.keys("issue", "acme", "--json")[0] == 0
    assert [key.client for key in parse(operator.text())] == ["acme"]


def test_ten_concurrent_changes_lose_nothing(operator: Operator) -> None:
    """Ten operators issue a key at the same time, and all ten keys are stored."""
    operator.put("default=CHANGEME")
    started = [operator.start("issue", f"client-{number}", "--json") for number in range(10)]
    printed = []
    for process in started:
        with process:
            stdout, stderr = process.communicate()
        assert process.returncode == 0, stderr
        printed.append(json.loads(stdout))
    _, *keys = parse(operator.text())
    assert sorted((one["client"], one["key"]) for one in printed) == sorted(
        (key.client, key.secret) for key in keys
    )
    assert len(keys) == 10


def test_keys_are_listed_without_their_secrets(operator: Operator) -> None:
    """The list has clients, fingerprints, ages and the used size of the parameter."""
    key = Key.issue("acme")
    text = joined((Key("default", "CHANGEME"), key))
    operator.put(text)
    code, stdout, _ = operator.keys("list", "--days", "0", "--json")
    assert code == 0
    listed: dict[str, Any] = json.loads(stdout)
    assert (listed["bytes"], listed["most_bytes"]) == (len(text), 4096)
    assert [one["client"] for one in listed["keys"]] == ["default", "acme"]
    assert [one["fingerprint"] for one in listed["keys"]][1] == key.fingerprint
    assert [one["days"] for one in listed["keys"]] == [None, 0]
    shown = operator.keys("list", "--days", "0")
    assert key.fingerprint in shown[1]
    for secret in ("CHANGEME", key.secret):
        assert secret not in stdout + "".join(shown[1:])


def test_a_keys_owner_or_the_lack_of_one_is_reported(operator: Operator) -> None:
    """The key is read from standard input and not repeated."""
    key, revoked = Key.issue("acme"), Key.issue("globex")
    operator.put(joined((Key("default", "CHANGEME"), key)))
    code, stdout, _ = operator.keys("whose", given=f" {key.secret}\n")
    assert (code, stdout) == (0, f"acme {key.fingerprint}\n")
    miscopied = key.secret[:-1] + ("1" if key.secret[-1] != "1" else "2")
    for secret, reason in (
        (revoked.secret, f"this key of ours, {revoked.fingerprint}, was revoked"),
        (miscopied, "its checksum is wrong"),
        ("password", "no client has this key"),
    ):
        code, stdout, stderr = operator.keys("whose", given=secret)
        assert (code, stdout) == (1, "")
        assert reason in stderr
        assert secret not in stderr
    # A key as an argument is refused: process lists and the shell's history would contain it.
    code, _, stderr = operator.keys("whose", key.secret)
    assert code == 2
    assert key.secret not in stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("revoke", "nobody", "--yes"),
            "nobody has no such key. Clients that have one: acme, default",
        ),
        (
            ("revoke", "acme", "0123456789ab", "--yes"),
            "acme has no key 0123456789ab. It has: ",
        ),
        (("rotate", "nobody"), "nobody has no such key. Clients that have one: acme, default"),
        (("issue", "two words"), "'two words' cannot be a client's name"),
        (("list", "--prefix", "other"), "There is no service other in this account and region"),
    ],
)
def test_a_mistake_is_reported_and_changes_nothing(
    operator: Operator, words: tuple[str, ...], told: str
) -> None:
    """One line names the valid choices."""
    operator.put(joined((Key("default", "CHANGEME"), Key.issue("acme"))))
    before = operator.text()
    code, stdout, stderr = operator.keys(*words)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("zama: ")
    assert told in stderr
    assert operator.text() == before


def test_the_last_key_is_not_revoked(operator: Operator) -> None:
    """The gateway needs a key to start; an unconfirmed revocation changes nothing either way."""
    operator.put("default=CHANGEME")
    code, _, stderr = operator.keys("revoke", "default", "--yes")
    assert code == 1
    assert "No key would be left" in stderr
    assert operator.keys("revoke", "default", given="n\n")[0] == 1
    assert operator.text() == "default=CHANGEME"


def test_a_revoked_key_can_be_restored(operator: Operator) -> None:
    """It is found by fingerprint in SSM's history; an unknown fingerprint changes nothing."""
    wanted, other = Key.issue("acme"), Key.issue("acme")
    operator.put(joined((Key("default", "CHANGEME"), wanted, other)))
    operator.put("malformed")
    operator.put("default=CHANGEME")
    code, _, stderr = operator.keys("restore", "acme", "0123456789ab")
    assert code == 1
    assert f"It has: {wanted.fingerprint}, {other.fingerprint}" in stderr
    code, stdout, stderr = operator.keys("restore", "acme", wanted.fingerprint)
    assert (code, stdout) == (0, "")
    assert "zama keys deploy" in stderr
    assert parse(operator.text()) == (Key("default", "CHANGEME"), wanted)


def test_keys_over_the_size_limit_are_refused_before_writing(operator: Operator) -> None:
    """The limit is 4 KiB, with a warning before it, unless `--advanced` is given."""
    almost = [Key.issue(f"client-{number:04}") for number in range(54)]
    operator.put(joined(tuple(almost)))
    size = len(operator.text())
    assert 0.9 * MOST_BYTES["Standard"] < size < MOST_BYTES["Standard"]
    code, _, stderr = operator.keys("issue", "one-more")
    assert code == 0
    assert "of 4096 bytes." in stderr
    before = operator.text()
    code, stdout, stderr = operator.keys("issue", "one-too-many")
    assert (code, stdout) == (1, "")
    assert ", but 4096 fit" in stderr
    assert "--advanced" in stderr
    assert operator.text() == before
    assert operator.keys("issue", "one-too-many", "--advanced")[0] == 0
    assert len(parse(operator.text())) == 56
    # Later changes keep the advanced tier.
    assert operator.keys("issue", "and-another")[0] == 0
    # It cannot become a standard one again.
    operator.ssm.delete_parameter(Name=PARAMETER)


def test_a_stale_lock_is_reported_with_the_command_to_remove_it(operator: Operator) -> None:
    """The message names the lock's owner and age, and nothing changes."""
    operator.put("default=CHANGEME")
    lock = f"{PARAMETER}.lock"
    operator.ssm.put_parameter(Name=lock, Value="ops@laptop 0123456789abcdef", Type="String")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zama_ops.keyring._LOCK_SECONDS", 1)
        with pytest.raises(CommandError) as error:
            Keyring(operator.ssm, PARAMETER).change(lambda keys: (*keys, Key.issue("acme")))
    assert "ops@laptop has held the keys' lock since" in str(error.value)
    assert f"aws ssm delete-parameter --name {lock}" in str(error.value)
    assert operator.text() == "default=CHANGEME"
    operator.ssm.delete_parameter(Name=lock)


class Interrupted:
    """SSM, with a function that is called before its nth request."""

    def __init__(self, ssm: Any, at: int, interrupt: Callable[[], None]) -> None:
        self._ssm = ssm
        self._left = at
        self._interrupt = interrupt

    def __getattr__(self, name: str) -> Any:
        if name.endswith(("_parameter", "_parameters")):
            self._left -= 1
            if self._left == 0:
                self._interrupt()
        return getattr(self._ssm, name)


@pytest.mark.parametrize("moment", range(2, 10))
def test_a_deleted_lock_loses_no_key(operator: Operator, moment: int) -> None:
    """A writer that reports success is right, even if another one gets its lock at any moment.

    The first writer makes nine requests. Before any but the first, an operator deletes its lock,
    and a second writer gets the lock, reads the keys, and writes after the first one has ended.
    """
    operator.put("default=CHANGEME")
    keys = {name: Key.issue(name) for name in ("first", "second")}
    has_read, may_write = threading.Event(), threading.Event()
    succeeded = []

    def change(name: str, ssm: Any, before_writing: Callable[[], object]) -> None:
        def edit(current: tuple[Key, ...]) -> tuple[Key, ...]:
            before_writing()
            return (*current, keys[name])

        with contextlib.suppress(CommandError):
            Keyring(ssm, PARAMETER).change(edit)
            succeeded.append(name)

    def wait() -> None:
        has_read.set()
        may_write.wait()

    second = threading.Thread(target=change, args=("second", operator.ssm, wait))

    def interrupt() -> None:
        with contextlib.suppress(operator.ssm.exceptions.ParameterNotFound):
            operator.ssm.delete_parameter(Name=f"{PARAMETER}.lock")
        second.start()
        has_read.wait()

    change("first", Interrupted(operator.ssm, moment, interrupt), lambda: None)
    may_write.set()
    second.join()
    # Both report a failure if the lock is lost between the last check and the write.
    assert succeeded or moment in {4, 5}
    assert {keys[name] for name in succeeded} <= {*parse(operator.text())}
    # Nobody deletes the other one's lock while it is in use, and none is left.
    names = [one["Name"] for one in operator.ssm.describe_parameters()["Parameters"]]
    assert names == [PARAMETER]


def test_a_write_without_the_lock_is_detected(operator: Operator) -> None:
    """A concurrent write by Terraform, for example, is reported with both versions."""
    operator.put("default=CHANGEME")

    def interrupted(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        operator.put("default=other")
        return (*keys, Key.issue("acme"))

    with pytest.raises(CommandError, match="Another program wrote version"):
        Keyring(operator.ssm, PARAMETER).change(interrupted)


def test_a_crash_shows_no_key(operator: Operator) -> None:
    """The traceback contains no values; the key was printed before and is stored."""
    operator.put("default=CHANGEME")
    script = (
        "import zama_ops.cli, zama_ops.service.keys\n"
        "zama_ops.service.keys.EcsService.roll_out = lambda *_, **__: 1 / 0\n"
        "zama_ops.cli.app(['keys', 'rotate', 'default', '--keep'])"
    )
    done = complete(sys.executable, "-c", script, **operator.account.environ())
    _, new = parse(operator.text())
    assert done.returncode == 1
    assert done.stdout == new.secret + "\n"
    assert "ZeroDivisionError" in done.stderr
    for secret in ("CHANGEME", new.secret):
        assert secret not in done.stderr
