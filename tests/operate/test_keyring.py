"""The format of API keys and of the parameter that stores them."""

import random
import re
import string
from datetime import UTC, datetime

import pytest

from grammar import CLIENTS, KEY_ALONE, NAMED_KEYS, SAME_KEYS, SECRET
from zama_ops.errors import CommandError
from zama_ops.keyring import Key, joined, parse


def test_a_key_is_long_dated_and_unique() -> None:
    """A key has 256 random bits, its date and a checksum, and the gateway accepts it."""
    keys = [Key.issue("acme") for _ in range(200)]
    assert len({key.secret for key in keys}) == len(keys)
    for key in keys:
        assert re.fullmatch(r"zama_\d{6}_[0-9A-Za-z]{49}", key.secret)
        assert key.issued == datetime.now(UTC).date()
        assert key.age_days == 0
        assert re.fullmatch("[0-9a-f]{12}", key.fingerprint)
    # 43 base-62 digits hold 256 bits, and no digit of the random part is always the same.
    assert 62**43 > 2**256
    parts = [key.secret.rpartition("_")[2][:43] for key in keys]
    assert all(len({part[place] for part in parts}) > 1 for place in range(43))


def test_a_miscopied_key_is_recognised() -> None:
    """Changing any one digit breaks the checksum."""
    secret = Key.issue("acme").secret
    for place in range(len("zama_"), len(secret)):
        if secret[place] == "_":
            continue
        other = random.choice(  # noqa: S311 - not a secret
            [digit for digit in string.digits if digit != secret[place]]
        )
        assert Key("acme", secret[:place] + other + secret[place + 1 :]).issued is None


def test_a_printed_key_object_hides_the_key() -> None:
    """Tracebacks and logs do not show it."""
    key = Key.issue("acme")
    assert key.secret not in f"{key} {key!r} {[key]}"


@pytest.mark.parametrize("client", [*CLIENTS[1], "a=b"])
def test_a_name_that_the_gateway_would_refuse_is_refused(client: str) -> None:
    """The name is checked before the parameter is written."""
    with pytest.raises(CommandError, match=r"cannot be a client's name: it must be 1 to 64"):
        Key.issue(client)


def test_the_parameter_survives_reading_and_writing() -> None:
    """Keys that were not issued here are kept as well."""
    text = f"acme=first+Key/0123456== globex={Key.issue('globex').secret} acme=CHANGEME"
    keys = parse(text)
    assert [key.client for key in keys] == ["acme", "globex", "acme"]
    assert [key.age_days for key in keys] == [None, 0, None]
    assert joined(keys) == text
    assert parse("unset") == ()


def test_values_that_the_gateway_accepts_are_read() -> None:
    """Extra spaces do not matter."""
    for text, secrets in NAMED_KEYS.accepted.items():
        assert tuple(key.secret for key in parse(text)) == secrets, text


@pytest.mark.parametrize(
    "text", [*NAMED_KEYS.refused, *SAME_KEYS.refused, *KEY_ALONE.refused, ""], ids=repr
)
def test_a_malformed_parameter_is_reported_without_its_text(text: str) -> None:
    """The text may contain a key."""
    with pytest.raises(CommandError, match="does not hold CLIENT=KEY pairs") as error:
        parse(text)
    assert not SECRET.search(str(error.value))
