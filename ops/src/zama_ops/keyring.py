"""API keys: their format, and the SSM parameter that holds them.

A key is `zama_`, the day of issue (UTC, YYMMDD), `_`, 256 random bits in 43 base-62 digits, and 6
more digits with the CRC-32 of everything after the prefix, as in GitHub's tokens. A key that is
found somewhere thus shows its origin, its age and whether it was copied correctly. ops/secrets.yaml
describes the format to a secret scanner. Keys in other formats are kept; their age is unknown.

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
# The gateway's entrypoint applies the same check; tests/grammar.py compares both.
_KEY: Final = re.compile(r"CHANGEME|(?!=)[A-Za-z0-9._~+/=-]{16,128}")
# The value that Terraform writes if it is given no key.
_UNSET: Final = "unset"

# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
MOST_BYTES: Final = {"Standard": 4096, "Advanced": 8192}
_LOCK_SECONDS: Final = 60
_TAKEN: Final = "Somebody deleted this command's lock"


# --- Keys -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A client's key. Commands print its fingerprint, never its secret."""

    client: str
    secret: str = field(repr=False)

    @classmethod
    def issue(cls, client: str) -> "Key":
        """Make a new key."""
        if not _CLIENT.fullmatch(client):
            raise CommandError(
                f"{client!r} cannot be a client's name: it must be 1 to 64 of A-Z a-z 0-9 . _ -"
            )
        body = f"{_today():%y%m%d}_{_base62(secrets.randbits(256), _SECRET_DIGITS)}"
        return cls(client, f"zama_{body}{_checksum(body)}")

    @property
    def fingerprint(self) -> str:
        """The first 12 hexadecimal digits of its SHA-256, as the gateway logs it."""
        return hashlib.sha256(self.secret.encode()).hexdigest()[:12]

    @property
    def issued(self) -> date | None:
        """The day of issue; None if its format or checksum is wrong."""
        match = _FORM.fullmatch(self.secret)
        if match and _checksum(match[1]) == match[3]:
            with contextlib.suppress(ValueError):
                return datetime.strptime(match[2], "%y%m%d").replace(tzinfo=UTC).date()
        return None

    @property
    def has_our_form(self) -> bool:
        """Whether it has our format; its checksum may be wrong."""
        return bool(_FORM.fullmatch(self.secret))

    @property
    def age_days(self) -> int | None:
        """Its age in days; None for a key in another format."""
        return (_today() - self.issued).days if self.issued else None


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


# --- Text -----------------------------------------------------------------------------------------


def parse(text: str) -> tuple[Key, ...]:
    """Return the keys from the gateway's format: CLIENT=KEY pairs separated by spaces.

    The message about a malformed text does not contain it.
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
            " of 16 to 128 characters, so the gateway cannot start. Restore a valid version from"
            " `aws ssm get-parameter-history`."
        )
    return tuple(Key(client, key) for client, _, key in pairs)


def joined(keys: tuple[Key, ...]) -> str:
    """Return the keys in the format that `parse` reads."""
    return " ".join(f"{key.client}={key.secret}" for key in keys)


# --- The parameter --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keyring:
    """The SSM parameter with the keys; `advanced` pays for more space if it is needed."""

    ssm: Any
    name: str
    advanced: bool = False

    def keys(self) -> tuple[Key, ...]:
        """Return the keys."""
        return parse(self._read()["Value"])

    def room(self) -> tuple[int, int]:
        """Return the keys' size and the limit of the parameter's tier, in bytes."""
        return len(self._read()["Value"]), MOST_BYTES[self._settings()["Tier"]]

    def revoked(self) -> Iterator[Key]:
        """Yield the keys that are only in the parameter's history, newest first.

        SSM keeps 100 versions.
        """
        seen = set(self.keys())
        pages = self.ssm.get_paginator("get_parameter_history").paginate(
            Name=self.name, WithDecryption=True
        )
        versions = [one["Value"] for page in pages for one in page["Parameters"]]
        for text in reversed(versions):
            with contextlib.suppress(CommandError):  # a malformed version
                for key in parse(text):
                    if key not in seen:
                        seen.add(key)
                        yield key

    def change(self, edit: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> None:
        """Apply `edit` to the keys under a lock, and write the result.

        SSM has no conditional write, but only one caller can create a given parameter. The lock is
        therefore a parameter, `NAME.lock`, with a token of its owner. An operator may delete it at
        any time: its owner notices before it writes and, if it was writing then, afterwards.

        Raises:
            CommandError: `edit` raised it, the keys do not fit, or the lock is held or lost, and
                nothing was written; or another program wrote at the same time.

        """
        with self._lock() as lock:
            before = self._read()
            text = joined(edit(parse(before["Value"])))
            if not self._holds(lock):
                raise CommandError(f"{_TAKEN}, so it wrote nothing. Try again.")
            written = self._write(text, before["Version"])
            if not self._holds(lock) or self._read()["Version"] != written:
                raise CommandError(
                    f"{_TAKEN} while it wrote version {written} of {self.name}. Compare `zama keys"
                    " list`, and repeat the change if it is missing."
                )

    def _read(self) -> Any:
        return self.ssm.get_parameter(Name=self.name, WithDecryption=True)["Parameter"]

    def _settings(self) -> dict[str, Any]:
        """Return the parameter's settings; a write without them would reset them."""
        named = [{"Key": "Name", "Option": "Equals", "Values": [self.name]}]
        (described,) = self.ssm.describe_parameters(ParameterFilters=named)["Parameters"]
        names = ("KeyId", "Tier", "Description")
        return {name: described[name] for name in names if described.get(name)}

    def _write(self, text: str, version: int) -> int:
        settings = self._settings()
        if len(text) > MOST_BYTES["Standard"] and self.advanced:
            settings["Tier"] = "Advanced"
        most = MOST_BYTES[settings["Tier"]]
        if len(text) > most:
            cure = "revoke unused keys (see `zama keys list`)"
            if settings["Tier"] == "Standard":
                cure += ", or repeat the command with --advanced for 8 KiB, which AWS charges for"
            raise CommandError(f"The keys take {len(text)} bytes, but {most} fit: {cure}.")
        try:
            written: int = self.ssm.put_parameter(
                Name=self.name, Value=text, Type="SecureString", Overwrite=True, **settings
            )["Version"]
        except self.ssm.exceptions.ClientError as error:
            # Only the code: AWS's message can quote the request.
            code = error.response["Error"]["Code"]
            raise CommandError(f"{self.name} was not written: {code}.") from None
        if written != version + 1:
            raise CommandError(
                f"Another program wrote version {version + 1} of {self.name} at the same time, and"
                f" version {written}, with this change, overwrote it. Repeat the overwritten"
                " change."
            )
        return written

    @contextlib.contextmanager
    def _lock(self) -> Iterator[str]:
        """Hold the lock; yield its value."""
        owner = f"{getpass.getuser()}@{socket.gethostname()} {secrets.token_hex(8)}"
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            with contextlib.suppress(
                self.ssm.exceptions.ParameterAlreadyExists, self.ssm.exceptions.TooManyUpdates
            ):
                self.ssm.put_parameter(Name=self._lock_name, Value=owner, Type="String")
                break
            if time.monotonic() > deadline:
                raise CommandError(self._who_holds())
            # Below SSM's request limits, and at random so that waiting commands do not collide.
            time.sleep(random.uniform(0.2, 0.6))  # noqa: S311 - not a secret
        try:
            yield owner
        finally:
            if self._holds(owner):
                self.ssm.delete_parameter(Name=self._lock_name)

    def _holds(self, owner: str) -> bool:
        with contextlib.suppress(self.ssm.exceptions.ParameterNotFound):
            return bool(self.ssm.get_parameter(Name=self._lock_name)["Parameter"]["Value"] == owner)
        return False

    @property
    def _lock_name(self) -> str:
        return f"{self.name}.lock"

    def _who_holds(self) -> str:
        try:
            held = self.ssm.get_parameter(Name=self._lock_name)["Parameter"]
        except self.ssm.exceptions.ParameterNotFound:
            return "Other commands keep changing the keys. Try again."
        return (
            f"{held['Value'].partition(' ')[0]} has held the keys' lock since"
            f" {held['LastModifiedDate']:%Y-%m-%d %H:%M}. If that command died, run `aws ssm"
            f" delete-parameter --name {self._lock_name}` and try again."
        )
