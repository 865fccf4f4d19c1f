"""Settings, read once from the environment into a typed object."""

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, TypeVar

from zama_api import __version__

LOG_LEVELS: Final = ("debug", "info", "warning", "error")

# The key in the documentation's examples: accepted with a warning, although it is short.
EXAMPLE_KEY: Final = "CHANGEME"

# The gateway's entrypoint, zama_ops.keyring and Terraform accept the same values; tests/grammar.py
# compares them.
_CLIENT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Not "=" first: `acme==KEY` is a typo.
_KEY: Final = re.compile(rf"{EXAMPLE_KEY}|(?!=)[A-Za-z0-9._~+/=-]{{16,128}}")
# No leading zeros: a shell reads 010 as 8.
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
# At most 20: a stop, including requests in flight, must finish within 25 seconds.
_SECONDS: Final = re.compile(r"1?[0-9](\.[0-9]{1,3})?|20(\.0{1,3})?")
_ADDRESS: Final = re.compile(r"[0-9.]+|[0-9A-Fa-f:]+")
# No path, because the gateway serves /docs at the root.
_URL: Final = re.compile(
    r"https?://[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:(?P<port>[0-9]+))?"
)
_VERSION: Final = re.compile(r"[A-Za-z0-9.+-]{1,64}")

_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}

_T = TypeVar("_T")


class SettingsError(ValueError):
    """An invalid setting; the message names the variable and the allowed values."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of this process; durations are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8080
    require_api_key: bool = False
    # Not in the repr: logs and tracebacks must not show a key.
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    ready_delay_seconds: float = 2.0
    drain_seconds: float = 5.0
    log_level: str = "info"
    access_log: bool = True
    version: str = __version__
    # Empty: not known.
    public_url: str = ""


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`; an unset or empty variable means the default.

    Raises:
        SettingsError: a value is invalid.

    """
    default = Settings()

    def read(name: str, parse: Callable[[str, str], _T], fallback: _T) -> _T:
        value = environ.get(name, "")
        return parse(name, value) if value else fallback

    settings = Settings(
        host=read("HOST", _address, default.host),
        port=read("PORT", _port, default.port),
        require_api_key=read("REQUIRE_API_KEY", _boolean, default.require_api_key),
        api_keys=read("API_KEYS", _named_keys, ()) or read("API_KEY", _single_key, ()),
        ready_delay_seconds=read("READY_DELAY_SECONDS", _seconds, default.ready_delay_seconds),
        drain_seconds=read("DRAIN_SECONDS", _seconds, default.drain_seconds),
        log_level=read("LOG_LEVEL", _log_level, default.log_level),
        access_log=read("ACCESS_LOG", _boolean, default.access_log),
        version=read("VERSION", _version, default.version),
        public_url=read("PUBLIC_URL", _url, default.public_url),
    )
    if settings.require_api_key and not settings.api_keys:
        raise SettingsError("REQUIRE_API_KEY is true, so API_KEY or API_KEYS must be set")
    return settings


def _unusable(name: str, value: str, allowed: str) -> SettingsError:
    return SettingsError(f"{name}={value!r} cannot be used: it must be {allowed}")


def _address(name: str, value: str) -> str:
    # nginx cannot listen on other forms, such as ::1%eth0 and ::ffff:127.0.0.1.
    if _ADDRESS.fullmatch(value):
        with contextlib.suppress(ValueError):
            return str(ip_address(value))
    raise _unusable(name, value, "an IP address, such as 127.0.0.1 or ::")


def _version(name: str, value: str) -> str:
    if not _VERSION.fullmatch(value):
        raise _unusable(name, value, "1 to 64 letters, digits, dots, plus and minus signs")
    return value


def _url(name: str, value: str) -> str:
    url = _URL.fullmatch(value)
    if not (url and _is_port(url["port"] or "80")):
        raise _unusable(name, value, "a URL without a path, such as https://api.example.com")
    return value


def _is_port(value: str) -> bool:
    return bool(_PORT.fullmatch(value)) and int(value) <= 65535


def _port(name: str, value: str) -> int:
    if not _is_port(value):
        raise _unusable(name, value, "a whole number from 1 to 65535")
    return int(value)


def _seconds(name: str, value: str) -> float:
    if not _SECONDS.fullmatch(value):
        raise _unusable(
            name, value, "0 to 20 seconds with at most three decimals, such as 5 or 0.25"
        )
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


# Messages about a key contain no part of it, because it is secret.
_KEY_FORM: Final = "A key is 16 to 128 of A-Z a-z 0-9 . _ ~ + / = - (not = first)"


def _single_key(name: str, value: str) -> tuple[str, ...]:
    if not _KEY.fullmatch(value):
        raise SettingsError(f"{name} cannot be used: it must be one key. {_KEY_FORM}")
    return (value,)


def _named_keys(name: str, value: str) -> tuple[str, ...]:
    keys = []
    for pair in re.split(" +", value.strip(" ")):
        client, _, key = pair.partition("=")
        if not (_CLIENT.fullmatch(client) and _KEY.fullmatch(key)):
            raise SettingsError(
                f"{name} cannot be used: it must be CLIENT=KEY pairs separated by spaces."
                f" {_KEY_FORM}, and a client name is 1 to 64 of A-Z a-z 0-9 . _ -"
            )
        keys.append(key)
    # The gateway looks keys up case-insensitively.
    if len({key.lower() for key in keys}) < len(keys):
        raise SettingsError(
            f"{name} holds a key twice, or two keys that differ only in case: every key must differ"
        )
    return tuple(keys)
