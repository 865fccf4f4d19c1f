"""Settings are read once, and an error names the invalid variable."""

import dataclasses
from typing import Any, Final

import pytest

from grammar import KEY, KEYS, OTHER, SECRET, SETTINGS
from zama_api import __version__
from zama_api.config import Settings, SettingsError, load

KEYS_FIELD: Final = {"API_KEY": "api_keys", "API_KEYS": "api_keys"}


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        (name, value, meaning)
        for grammar in (*SETTINGS, *KEYS)
        for name in grammar.api
        for value, meaning in grammar.accepted.items()
    ],
)
def test_a_variable_sets_its_field(name: str, value: str, meaning: Any) -> None:
    """Each variable sets one field and leaves the others unchanged."""
    given = {"API_KEY": KEY}
    field = KEYS_FIELD.get(name, name.lower())
    assert load(given | {name: value}) == dataclasses.replace(load(given), **{field: meaning})


def test_an_unset_or_empty_variable_has_its_default() -> None:
    """Compose may pass an unset variable as an empty one.

    tests/docs/test_completeness.py checks that the README names these defaults.
    """
    names = (
        *("HOST", "PORT", "REQUIRE_API_KEY", "API_KEY", "API_KEYS", "READY_DELAY_SECONDS"),
        *("DRAIN_SECONDS", "LOG_LEVEL", "ACCESS_LOG", "VERSION", "PUBLIC_URL"),
    )
    assert load({}) == load(dict.fromkeys(names, "")) == Settings(version=__version__)


@pytest.mark.parametrize("required", ["true", "TRUE", "1"])
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"API_KEY": KEY}, (KEY,)),
        ({"API_KEYS": f"acme={KEY}"}, (KEY,)),
        ({"API_KEY": KEY, "API_KEYS": f"acme={OTHER} acme=CHANGEME"}, (OTHER, "CHANGEME")),
        ({"API_KEY": "not used", "API_KEYS": f"acme={KEY}"}, (KEY,)),
    ],
)
def test_named_keys_override_the_single_key(
    keys: dict[str, str], expected: tuple[str, ...], required: str
) -> None:
    """Either variable can provide the required key; if both are set, only the named keys count."""
    settings = load({"REQUIRE_API_KEY": required, **keys})

    assert settings.require_api_key
    assert settings.api_keys == expected


@pytest.mark.parametrize("keys", [{}, {"API_KEY": ""}, {"API_KEYS": ""}])
def test_a_required_key_must_be_set(keys: dict[str, str]) -> None:
    """A service that requires keys does not start without any: it would refuse every request."""
    with pytest.raises(SettingsError, match=r"REQUIRE_API_KEY.*API_KEY or API_KEYS must be set"):
        load({"REQUIRE_API_KEY": "true", **keys})


@pytest.mark.parametrize(
    ("name", "values", "allowed"),
    [(name, grammar.refused, grammar.allowed) for grammar in SETTINGS for name in grammar.api],
)
def test_an_invalid_value_is_reported_with_the_allowed_ones(
    name: str, values: tuple[str, ...], allowed: str
) -> None:
    """The message names the variable, its value and the allowed values."""
    for value in values:
        with pytest.raises(SettingsError) as caught:
            load({name: value})

        message = str(caught.value)
        assert message.startswith(f"{name}={value!r} ")
        assert allowed in message
        assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        (name, value, grammar.allowed)
        for grammar in KEYS
        for name in grammar.api
        for value in grammar.refused
    ],
)
def test_a_malformed_key_is_reported_without_showing_it(
    name: str, value: str, allowed: str
) -> None:
    """The message names the variable and the format of a key, and no part of the value."""
    with pytest.raises(SettingsError) as caught:
        load({name: value})

    message = str(caught.value)
    assert message.startswith(f"{name} ")
    assert allowed in message
    assert not SECRET.search(message)
    assert caught.value.__cause__ is None


def test_settings_do_not_show_their_keys() -> None:
    """The settings' representation, as in logs and tracebacks, contains no key."""
    assert "hush" not in repr(load({"API_KEY": KEY}))


def test_settings_are_immutable() -> None:
    """Settings keep their values until the process ends."""
    settings = load({})

    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]  # the assignment must fail
