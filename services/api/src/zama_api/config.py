"""Settings: read once from the environment, into one typed object."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, TypeVar

from zama_api import __version__

LOG_LEVELS: Final = ("debug", "info", "warning", "error")

# The gateway accepts the same client names and keys: services/nginx/entrypoint.
_CLIENT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Not "=" first: a key alone, in base64, would else read as a client's name and the key "=".
_KEY: Final = re.compile(r"(?!=)[A-Za-z0-9._~+/=-]{1,128}")
_DIGITS: Final = re.compile(r"[0-9]{1,5}")
_DECIMAL: Final = re.compile(r"[0-9]{1,2}(\.[0-9]{1,3})?")
_VERSION: Final = re.compile(r"[A-Za-z0-9.+-]{1,64}")

_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}

_T = TypeVar("_T")


class SettingsError(ValueError):
    """A setting that cannot be used; the message names the variable and what is allowed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says about this process; durations are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8080
    require_api_key: bool = False
    # Not in the repr: no log line and no traceback may show a key.
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    ready_delay_seconds: float = 2.0
    drain_seconds: float = 5.0
    log_level: str = "info"
    access_log: bool = True
    version: str = __version__


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`; an unset or empty variable means its default.

    Raises:
        SettingsError: a value cannot be used.

    """
    default = Settings()

    def read(name: str, parse: Callable[[str, str], _T], fallback: _T) -> _T:
        value = environ.get(name, "")
        return parse(name, value) if value else fallback

    settings = Settings(
        host=read("HOST", _address, default.host),
        port=read("PORT", _port, default.port),
        require_api_key=read("REQUIRE_API_KEY", _boolean, default.require_api_key),
        api_keys=read("API_KEYS", _named_keys, read("API_KEY", _single_key, default.api_keys)),
        ready_delay_seconds=read("READY_DELAY_SECONDS", _seconds, default.ready_delay_seconds),
        drain_seconds=read("DRAIN_SECONDS", _seconds, default.drain_seconds),
        log_level=read("LOG_LEVEL", _log_level, default.log_level),
        access_log=read("ACCESS_LOG", _boolean, default.access_log),
        version=read("VERSION", _version, default.version),
    )
    if settings.require_api_key and not settings.api_keys:
        raise SettingsError("REQUIRE_API_KEY is true, so API_KEY or API_KEYS must be set")
    return settings


def _unusable(name: str, value: str, allowed: str) -> SettingsError:
    return SettingsError(f"{name}={value!r} cannot be used: it must be {allowed}")


def _address(name: str, value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise _unusable(name, value, "an IP address, such as 127.0.0.1 or ::") from None


def _version(name: str, value: str) -> str:
    if not _VERSION.fullmatch(value):
        raise _unusable(name, value, "1 to 64 letters, digits, dots, plus and minus signs")
    return value


def _port(name: str, value: str) -> int:
    if not (_DIGITS.fullmatch(value) and 1 <= int(value) <= 65535):
        raise _unusable(name, value, "a whole number from 1 to 65535")
    return int(value)


def _seconds(name: str, value: str) -> float:
    # 20: stopping must fit into 25 seconds in all, requests in flight included.
    if not (_DECIMAL.fullmatch(value) and float(value) <= 20):
        raise _unusable(name, value, "a number of seconds from 0 to 20")
    return float(value)


def _boolean(name: str, value: str) -> bool:
    try:
        return _BOOLEANS[value.lower()]
    except KeyError:
        raise _unusable(name, value, "true or false") from None


def _log_level(name: str, value: str) -> str:
    if value.lower() not in LOG_LEVELS:
        raise _unusable(name, value, f"one of {', '.join(LOG_LEVELS)}")
    return value.lower()


def _single_key(name: str, value: str) -> tuple[str, ...]:
    if not _KEY.fullmatch(value):
        raise _malformed_key(name)
    return (value,)


def _named_keys(name: str, value: str) -> tuple[str, ...]:
    keys = []
    for pair in re.split(" +", value.strip(" ")):
        client, _, key = pair.partition("=")
        if not (_CLIENT.fullmatch(client) and _KEY.fullmatch(key)):
            raise _malformed_key(name)
        keys.append(key)
    return tuple(keys)


def _malformed_key(name: str) -> SettingsError:
    # The value is a secret and stays out of the message.
    form = "KEY" if name == "API_KEY" else "CLIENT=KEY pairs separated by spaces"
    return SettingsError(
        f"{name} is malformed: it must be {form}, where a key is 1 to 128 of A-Z a-z 0-9"
        " . _ ~ + / = - (not = first) and a client name 1 to 64 of A-Z a-z 0-9 . _ -"
    )
