"""API keys: their form, and the one parameter that holds them.

A key is `zama_`, the day it was issued on (UTC, YYMMDD), `_`, 256 random bits in 43 base-62 digits,
and 6 more with the CRC-32 of all after the prefix, as GitHub does it: whoever finds one knows what
it is, how old it is, and whether it was copied right. ops/secrets.yaml tells a secret scanner. Keys
of another form are kept as they are; their age is unknown.

https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
"""

import contextlib
import getpass
import hashlib
import random
import re
import secrets
import socket
import string
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from zama_ops.errors import CommandError

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_DIGITS: Final = 43
_CHECKSUM_DIGITS: Final = 6
_FORM: Final = re.compile(
    rf"zama_((\d{{6}})_[0-9A-Za-z]{{{_SECRET_DIGITS}}})([0-9A-Za-z]{{{_CHECKSUM_DIGITS}}})"
)
_CLIENT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
# As the gateway's entrypoint checks it: tests/grammar.py.
_KEY: Final = re.compile(r"CHANGEME|(?!=)[A-Za-z0-9._~+/=-]{16,128}")
# What Terraform writes when it is told no key.
_UNSET: Final = "unset"

# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
MOST_BYTES: Final = {"Standard": 4096, "Advanced": 8192}
_LOCK_SECONDS: Final = 60


# --- Keys -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A client's key. What is printed of it is its fingerprint, never its secret."""

    client: str
    secret: str = field(repr=False)

    @classmethod
    def issue(cls, client: str) -> "Key":
        """Make a new key.

        Raises:
            CommandError: that is no client's name.

        """
        if not _CLIENT.fullmatch(client):
            raise CommandError(
                f"{client!r} cannot be a client's name: it must be 1 to 64 of A-Z a-z 0-9 . _ -"
            )
        body = f"{_today():%y%m%d}_{_base62(secrets.randbits(256), _SECRET_DIGITS)}"
        return cls(client, f"zama_{body}{_checksum(body)}")

    @property
    def fingerprint(self) -> str:
        """The first 12 hexadecimal digits of its SHA-256, as the gateway logs it."""
        return fingerprint(self.secret)

    @property
    def issued(self) -> date | None:
        """The day it was issued on; None for a key of another form."""
        return issued(self.secret)

    @property
    def age_days(self) -> int | None:
        """Its age in days; None for a key of another form."""
        return (_today() - self.issued).days if self.issued else None


def fingerprint(secret: str) -> str:
    """Return the first 12 hexadecimal digits of a key's SHA-256."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def issued(secret: str) -> date | None:
    """Return the day in a key of our form; None where form or checksum is another."""
    match = _FORM.fullmatch(secret)
    if not match or _checksum(match[1]) != match[3]:
        return None
    try:
        return datetime.strptime(match[2], "%y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def has_our_form(secret: str) -> bool:
    """Say whether this looks like a key of ours, whatever its checksum."""
    return bool(_FORM.fullmatch(secret))


def _today() -> date:
    return datetime.now(UTC).date()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_DIGITS)


def _base62(number: int, digits: int) -> str:
    written = ""
    for _ in range(digits):
        number, digit = divmod(number, len(_DIGITS))
        written = _DIGITS[digit] + written
    return written


# --- Their text -----------------------------------------------------------------------------------


def parse(text: str) -> tuple[Key, ...]:
    """Return the keys in the gateway's own form: CLIENT=KEY pairs separated by spaces.

    Raises:
        CommandError: the gateway would refuse the text, which stays out of the message.

    """
    if text == _UNSET:
        return ()
    pairs = [pair.partition("=") for pair in re.split(" +", text.strip(" "))]
    differ = len({key.lower() for _, _, key in pairs}) == len(pairs)
    if not differ or not all(
        _CLIENT.fullmatch(name) and _KEY.fullmatch(key) for name, _, key in pairs
    ):
        raise CommandError(
            "The parameter does not hold CLIENT=KEY pairs separated by spaces, with different keys"
            " of 16 to 128 characters, so the gateway cannot start with it. Put back a version that"
            " does: `aws ssm get-parameter-history`."
        )
    return tuple(Key(client, key) for client, _, key in pairs)


def joined(keys: tuple[Key, ...]) -> str:
    """Return the keys as `parse` reads them."""
    return " ".join(f"{key.client}={key.secret}" for key in keys)


# --- The parameter --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keyring:
    """The parameter with the keys.

    Arguments:
        ssm: boto3's client.
        name: of the parameter.
        advanced: pay for the advanced tier where the standard one has no room left.

    """

    ssm: Any
    name: str
    advanced: bool = False

    def keys(self) -> tuple[Key, ...]:
        """Return the keys.

        Raises:
            CommandError: they are malformed.

        """
        return parse(self._read()["Value"])

    def room(self) -> tuple[int, int]:
        """Return how many bytes the keys take, and how many the parameter's tier holds."""
        return len(self._read()["Value"]), MOST_BYTES[self._settings()["Tier"]]

    def revoked(self) -> Iterator[Key]:
        """Yield the keys that are in the parameter's history and not in it, the newest first.

        SSM keeps a hundred versions.
        """
        seen = set(self.keys())
        pages = self.ssm.get_paginator("get_parameter_history").paginate(
            Name=self.name, WithDecryption=True
        )
        versions = [one["Value"] for page in pages for one in page["Parameters"]]
        for text in reversed(versions):
            with contextlib.suppress(CommandError):  # a version that was malformed
                for key in parse(text):
                    if key not in seen:
                        seen.add(key)
                        yield key

    def change(self, edit: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> None:
        """Write what `edit` makes of the keys, while nobody else changes them.

        SSM has no conditional write, but it creates a parameter only once: whoever has created
        `NAME.lock` may write.

        Raises:
            CommandError: `edit` raised it, the keys do not fit, or another holds the lock; nothing
                has changed then. Or another wrote without the lock.

        """
        with self._lock():
            before = self._read()
            self._write(joined(edit(parse(before["Value"]))), before["Version"])

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ssm.get_parameter(Name=self.name, WithDecryption=True)
        parameter: dict[str, Any] = found["Parameter"]
        return parameter

    def _settings(self) -> dict[str, Any]:
        """Return all of the parameter but its value; what is not given again is lost."""
        named = [{"Key": "Name", "Option": "Equals", "Values": [self.name]}]
        (found,) = self.ssm.describe_parameters(ParameterFilters=named)["Parameters"]
        names = ("KeyId", "Tier", "Description")
        return {name: found[name] for name in names if found.get(name)}

    def _write(self, text: str, version: int) -> None:
        settings = self._settings()
        if len(text) > MOST_BYTES["Standard"] and self.advanced:
            settings["Tier"] = "Advanced"
        most = MOST_BYTES[settings["Tier"]]
        if len(text) > most:
            cure = "revoke keys that nobody uses (`zama keys list`)"
            if settings["Tier"] == "Standard":
                cure += ", or repeat this with --advanced, for 8 KiB, which AWS charges for"
            raise CommandError(f"{len(text)} bytes of keys do not fit into {most}: {cure}.")
        try:
            written = self.ssm.put_parameter(
                Name=self.name, Value=text, Type="SecureString", Overwrite=True, **settings
            )["Version"]
        except self.ssm.exceptions.ClientError as error:
            # Not the message: AWS's can quote what it was sent.
            code = error.response["Error"]["Code"]
            raise CommandError(f"{self.name} was not written: {code}.") from None
        if written != version + 1:
            raise CommandError(
                f"Version {version + 1} of {self.name} was written by something else at the same"
                f" time, and version {written}, with this change, does not have that one's. Make"
                " that one again."
            )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        lock = f"{self.name}.lock"
        holder = f"{getpass.getuser()}@{socket.gethostname()}"
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            with contextlib.suppress(
                self.ssm.exceptions.ParameterAlreadyExists, self.ssm.exceptions.TooManyUpdates
            ):
                self.ssm.put_parameter(Name=lock, Value=holder, Type="String")
                break
            if time.monotonic() > deadline:
                raise CommandError(self._who_holds(lock))
            # Seldom enough for SSM's limits, and not all at the same time.
            time.sleep(random.uniform(0.2, 0.6))  # noqa: S311 - no secret
        try:
            yield
        finally:
            self.ssm.delete_parameter(Name=lock)

    def _who_holds(self, lock: str) -> str:
        try:
            held = self.ssm.get_parameter(Name=lock)["Parameter"]
        except self.ssm.exceptions.ParameterNotFound:
            return "The keys are changed by others all the time: try again."
        return (
            f"{held['Value']} is changing the keys since {held['LastModifiedDate']:%Y-%m-%d %H:%M}."
            f" If that has died: `aws ssm delete-parameter --name {lock}`, and try again."
        )
