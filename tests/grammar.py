"""One grammar for settings: the values that every program accepts or refuses.

The tests of each program that reads a setting use this table: services/api/tests/test_config.py,
gateway/test_settings.py, operate/test_keyring.py and aws/test_inputs.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

KEY: Final = "hush-hush-hush16"
OTHER: Final = "another-hush-key"


@dataclass(frozen=True)
class Grammar:
    """A kind of setting, and the values it takes.

    Arguments:
        allowed: text in the message about a refused value.
        accepted: value to its meaning for the API.
        refused: refused values.
        api: names of the settings of this kind that the API reads.
        gateway: names of the settings of this kind that the gateway reads.

    """

    allowed: str
    accepted: Mapping[str, Any]
    refused: tuple[str, ...]
    api: tuple[str, ...] = ()
    gateway: tuple[str, ...] = ()


PORT: Final = Grammar(
    "a whole number from 1 to 65535",
    {"1": 1, "8080": 8080, "65535": 65535},
    (
        *("0", "65536", "-1", "+80", "80.0", " 80", "8 0", "8_0", "1e3", "http", "٨٠", "²"),
        *("80;", "8080;}", "80\n81", "080", "00080", "080808080", "9113,nohostname", 5000 * "9"),
    ),
    api=("PORT",),
    gateway=("LISTEN_PORT", "API_PORT", "METRICS_PORT"),
)
RATE: Final = Grammar(
    "a whole number from 1 to 100000",
    {"1": 1, "5": 5, "100000": 100000},
    ("0", "-1", "0.5", "5.5", "100001", "05", "5r/s", "five", "5 nodelay", "1e3"),
    gateway=("RATE_LIMIT", "RATE_BURST"),
)
SECONDS: Final = Grammar(
    "0 to 20 seconds with at most three decimals",
    {"0": 0, "0.25": 0.25, "5": 5, "19.999": 19.999, "20": 20, "20.0": 20, "20.000": 20},
    (
        *("-1", "-0.1", "20.001", "20.1", "21", "0.1234", "20.0000", "007", "08", "00", "1.2.3"),
        *(".", ".5", "5.", "1,5", "1e1", "1e400", "1_0", "2s", "5;", " 5", "5\n", "٣"),
        *("x", "five", "nan", "NaN", "inf", "-inf"),
    ),
    api=("READY_DELAY_SECONDS", "DRAIN_SECONDS"),
    gateway=("DRAIN_SECONDS",),
)
BOOLEAN: Final = Grammar(
    "true or false",
    {
        **dict.fromkeys(("true", "True", "TRUE", "1"), True),
        **dict.fromkeys(("false", "False", "FALSE", "0"), False),
    },
    ("yes", "no", "on", "off", "t", "2", "-1", "01", "none", "maybe", " true", "true;"),
    api=("REQUIRE_API_KEY", "ACCESS_LOG"),
    gateway=("REQUIRE_API_KEY",),
)
ADDRESS: Final = Grammar(
    "an IP address",
    {
        **{address: address for address in ("127.0.0.1", "0.0.0.0", "::", "::1")},  # noqa: S104
        "0:0:0:0:0:0:0:1": "::1",
    },
    (
        *("localhost", "localhost;", "$host", "a b", " ::", "1.2.3", "1.2.3.256", "127.0.0.01"),
        *("127.0.0.1:80", "127.0.0.0/8", "::1%lo", "::ffff:127.0.0.1"),
    ),
    api=("HOST",),
    gateway=("LISTEN_HOST",),
)
LOG_LEVEL: Final = Grammar(
    "one of debug, info, warning, error",
    {"debug": "debug", "WARNING": "warning"},
    ("trace", "warn", "3", " info"),
    api=("LOG_LEVEL",),
)
VERSION: Final = Grammar(
    "1 to 64 letters, digits, dots",
    {"1.2.3-rc.1+abc": "1.2.3-rc.1+abc"},
    ("1 2", "v\n", 'a"b', 65 * "x"),
    api=("VERSION",),
)
URL: Final = Grammar(
    "a URL without a path, such as https://api.example.com",
    {
        url: url
        for url in (
            *("https://api.example.com", "http://localhost:8081", "http://127.0.0.1:65535"),
            *("https://A-1.example", "http://x:1", f"https://{253 * 'a'}"),
        )
    },
    (
        *("api.example.com", "//api.example.com", "ftp://a", "HTTPS://a", "https:/a", "https://"),
        *(
            "https://a/",
            "https://a/docs",
            "https://a?b",
            "https://a#b",
            "https://user@a",
            " http://a",
        ),
        *("https://a ", "https://a\n", "https://a;", 'https://a"', "https://$host", "https://a_b"),
        *("https://-a", "https://a-", "https://.a", "https://a.", "https://ä", "https://a}", "a:1"),
        *("http://a:", "http://a:0", "http://a:080", "http://a:65536", "http://a:1:2", "http://:1"),
        *("http://a:+1", "http://a:1e3", "http://[::1]", f"https://{254 * 'a'}", "http://a:٨"),
    ),
    api=("PUBLIC_URL",),
    gateway=("PUBLIC_URL",),
)
UPSTREAM: Final = Grammar(
    "a host name or an IP address",
    dict.fromkeys(("127.0.0.1", "localhost", "::1")),
    ("a;b", "a b", "$host", "a/b", "a\nb"),
    gateway=("API_HOST",),
)
PROXIES: Final = Grammar(
    "such as 10.0.0.0/16",
    dict.fromkeys(("192.0.2.1", "0.0.0.0/1", "10.0.0.0/8,192.0.2.1/32", " 10.0.0.0/8  ::1/128")),
    (
        *("x", "*", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/8/8", "10.0.0/8"),
        *("010.0.0.0/8", "10.0.0.0/8;", "::/129", "0.0.0.0/00"),
    ),
    gateway=("TRUSTED_PROXIES",),
)
# A network that contains every address gets a message with the reason.
EVERYBODY: Final = Grammar(
    "could choose its own address with X-Forwarded-For",
    {},
    ("0.0.0.0/0", "::/0", "10.0.0.0/0", "10.0.0.0/8,0.0.0.0/0", "10.0.0.0/8 ::/0"),
    gateway=("TRUSTED_PROXIES",),
)
SETTINGS: Final = (
    *(PORT, RATE, SECONDS, BOOLEAN, ADDRESS, LOG_LEVEL, VERSION, URL),
    *(UPSTREAM, PROXIES, EVERYBODY),
)

# Keys and client names. No message may show any part of a key.
SECRET: Final = re.compile("(?i)hush|aHVzaC1|kkk|changem")
_KEY_FORM: Final = "A key is 16 to 128 of A-Z a-z 0-9 . _ ~ + / = - (not = first)"
SINGLE_KEY: Final = Grammar(
    f"one key. {_KEY_FORM}",
    {key: (key,) for key in ("CHANGEME", KEY, "~.include/aZ09_+=-==", 128 * "k")},
    (
        *(f"hush-hush{character}hush-hush" for character in "\"'\n$;}{ \\#\t*\rä,%"),
        *("hush", "hush-hush-hush5", "CHANGEME-hush", "=hush-hush-hush-hush", f"{KEY}\n"),
        *("changeme", "CHANGEM", 129 * "k"),
    ),
    api=("API_KEY",),
    gateway=("API_KEY",),
)
CLIENTS: Final = (
    ("a", "A.b_c-9", 64 * "c"),
    ("", "two words", "a/b", "a;b", "a\tb", "a\n", "ä", 65 * "c"),
)
NAMED_KEYS: Final = Grammar(
    f"CLIENT=KEY pairs separated by spaces. {_KEY_FORM}",
    {
        **{f"acme={key}": (key,) for key in SINGLE_KEY.accepted},
        **{f"{client}={KEY}": (KEY,) for client in CLIENTS[0]},
        f"  acme={KEY}  acme={OTHER} globex=CHANGEME ": (KEY, OTHER, "CHANGEME"),
    },
    (
        *(f"acme={key}" for key in SINGLE_KEY.refused),
        *(f"{client}={KEY}" for client in CLIENTS[1]),
        *(f"acme={KEY}{between}globex={OTHER}" for between in "\t\n,;"),
        *(" ", "acme", "acme=", f"acme={KEY} globex", f"acme={KEY} globex="),
        # A key in base64, whose beginning looks like a client name.
        "aHVzaC1odXNoLWh1c2gtaHVzaA==",
    ),
    api=("API_KEYS",),
    gateway=("API_KEYS",),
)
# The gateway compares keys without regard to case.
SAME_KEYS: Final = Grammar(
    "every key must differ",
    {},
    (f"acme={KEY} globex={KEY}", f"acme={KEY} acme={KEY}", f"acme={KEY} globex={KEY.upper()}"),
    api=("API_KEYS",),
    gateway=("API_KEYS",),
)
# Terraform's `api_key_value` accepts a single key; `API_KEYS` does not.
KEY_ALONE: Final = Grammar(NAMED_KEYS.allowed, {}, (KEY,), api=("API_KEYS",), gateway=("API_KEYS",))
KEYS: Final = (SINGLE_KEY, NAMED_KEYS, SAME_KEYS, KEY_ALONE)
