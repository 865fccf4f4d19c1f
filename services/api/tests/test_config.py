"""Settings are read once, and what cannot be used is told by name."""

import dataclasses
from typing import Any

import pytest

from zama_api import __version__
from zama_api.config import Settings, SettingsError, load


@pytest.mark.parametrize(
    ("name", "value", "field", "meaning"),
    [
        ("HOST", "0.0.0.0", "host", "0.0.0.0"),  # noqa: S104 - only parsed, nothing listens
        ("HOST", "::1", "host", "::1"),
        ("HOST", "0:0:0:0:0:0:0:1", "host", "::1"),
        ("PORT", "1", "port", 1),
        ("PORT", "65535", "port", 65535),
        ("REQUIRE_API_KEY", "false", "require_api_key", False),
        ("REQUIRE_API_KEY", "0", "require_api_key", False),
        ("READY_DELAY_SECONDS", "0", "ready_delay_seconds", 0),
        ("READY_DELAY_SECONDS", "0.25", "ready_delay_seconds", 0.25),
        ("DRAIN_SECONDS", "20", "drain_seconds", 20),
        ("LOG_LEVEL", "debug", "log_level", "debug"),
        ("LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("ACCESS_LOG", "false", "access_log", False),
        ("ACCESS_LOG", "True", "access_log", True),
        ("ACCESS_LOG", "1", "access_log", True),
        ("VERSION", "1.2.3-rc.1+abc", "version", "1.2.3-rc.1+abc"),
        ("API_KEY", "CHANGEME", "api_keys", ("CHANGEME",)),
        ("API_KEY", "aZ09._~+/=-", "api_keys", ("aZ09._~+/=-",)),
        ("API_KEY", "k" * 128, "api_keys", ("k" * 128,)),
        ("API_KEYS", "acme=KEY1", "api_keys", ("KEY1",)),
        ("API_KEYS", "acme=KEY1  acme=KEY2 globex=KEY3 ", "api_keys", ("KEY1", "KEY2", "KEY3")),
        ("API_KEYS", "acme=KEY=", "api_keys", ("KEY=",)),
    ],
)
def test_a_variable_sets_its_field(name: str, value: str, field: str, meaning: Any) -> None:
    """Each variable sets one field and leaves the others at their defaults."""
    assert load({name: value}) == dataclasses.replace(Settings(), **{field: meaning})


def test_an_unset_or_empty_variable_means_its_default() -> None:
    """A compose file that passes an unset variable on as an empty one changes nothing.

    That README names these defaults is seen in tests/docs/test_completeness.py.
    """
    names = (
        *("HOST", "PORT", "REQUIRE_API_KEY", "API_KEY", "API_KEYS", "READY_DELAY_SECONDS"),
        *("DRAIN_SECONDS", "LOG_LEVEL", "ACCESS_LOG", "VERSION"),
    )
    assert load({}) == load(dict.fromkeys(names, "")) == Settings(version=__version__)


@pytest.mark.parametrize("required", ["true", "TRUE", "1"])
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"API_KEY": "KEY1"}, ("KEY1",)),
        ({"API_KEYS": "acme=KEY1"}, ("KEY1",)),
        ({"API_KEY": "KEY1", "API_KEYS": "acme=KEY2 acme=KEY3"}, ("KEY2", "KEY3")),
    ],
)
def test_named_keys_win_over_the_single_key(
    keys: dict[str, str], expected: tuple[str, ...], required: str
) -> None:
    """A required key may come from either variable; given both, only the named ones count."""
    settings = load({"REQUIRE_API_KEY": required, **keys})

    assert settings.require_api_key
    assert settings.api_keys == expected


@pytest.mark.parametrize("keys", [{}, {"API_KEY": ""}, {"API_KEYS": ""}])
def test_a_required_key_must_be_given(keys: dict[str, str]) -> None:
    """A service that asks for keys does not start without any, which would lock everyone out."""
    with pytest.raises(SettingsError, match=r"REQUIRE_API_KEY.*API_KEY or API_KEYS must be set"):
        load({"REQUIRE_API_KEY": "true", **keys})


@pytest.mark.parametrize(
    ("name", "values", "allowed"),
    [
        ("HOST", ["localhost", "1.2.3", "127.0.0.1:80", " ::"], "an IP address"),
        (
            "PORT",
            ["0", "65536", "-1", "+80", "80.0", " 80", "http", "8_0", "٨٠", "²", "9" * 5000],
            "a whole number from 1 to 65535",
        ),
        ("REQUIRE_API_KEY", ["yes", "on", "2", " true"], "true or false"),
        ("ACCESS_LOG", ["no", "off", "-1", "none"], "true or false"),
        ("READY_DELAY_SECONDS", ["-0.1", "20.1", "nan", "inf", "2s", "1e400"], "from 0 to 20"),
        ("DRAIN_SECONDS", ["-1", "21", "NaN", "-inf", "five", "1_0", "5\n", "٣"], "from 0 to 20"),
        ("LOG_LEVEL", ["trace", "warn", "3", " info"], "one of debug, info, warning, error"),
        ("VERSION", ["1 2", "v\n", 'a"b', "x" * 65], "1 to 64 letters, digits, dots"),
    ],
)
def test_an_unusable_value_is_told_with_what_is_allowed(
    name: str, values: list[str], allowed: str
) -> None:
    """The message names the variable, shows its value and says what to write instead."""
    for value in values:
        with pytest.raises(SettingsError) as caught:
            load({name: value})

        message = str(caught.value)
        assert message.startswith(f"{name}={value!r} ")
        assert allowed in message
        assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("API_KEY", "hush hush", "hush"),
        ("API_KEY", "hush\n", "hush"),
        ("API_KEY", 'hush";', "hush"),
        ("API_KEY", "húsh", "húsh"),
        ("API_KEY", "h" * 129, "hhh"),
        ("API_KEYS", "hush", "hush"),
        ("API_KEYS", " ", "hush"),
        ("API_KEYS", "=hush", "hush"),
        ("API_KEYS", "acme=hush\tglobex=KEY2", "hush"),
        ("API_KEYS", "acme=", "acme="),
        ("API_KEYS", "aHVzaA==", "aHVzaA"),
        ("API_KEYS", "acme=hush globex", "hush"),
        ("API_KEYS", "ac me=hush", "hush"),
        ("API_KEYS", "ac/me=hush", "hush"),
        ("API_KEYS", f"{'c' * 65}=hush", "hush"),
        ("API_KEYS", "acme=hush;", "hush"),
    ],
)
def test_a_malformed_key_is_told_without_showing_it(name: str, value: str, secret: str) -> None:
    """The message names the variable and the form of a key, and never any part of the value."""
    with pytest.raises(SettingsError) as caught:
        load({name: value})

    message = str(caught.value)
    form = "KEY" if name == "API_KEY" else "CLIENT=KEY pairs separated by spaces"
    assert message.startswith(f"{name} is malformed: it must be {form},")
    assert secret not in message
    assert caught.value.__cause__ is None


def test_settings_do_not_show_their_keys() -> None:
    """Neither a log line nor a traceback that shows the settings shows a key."""
    assert "hush" not in repr(load({"API_KEY": "hush", "API_KEYS": "acme=hush2"}))


def test_settings_cannot_be_changed() -> None:
    """What was read at the start holds until the end."""
    settings = load({})

    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]  # that it is refused is the point
