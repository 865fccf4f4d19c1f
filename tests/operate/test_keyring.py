"""The form of API keys, and what stands in their parameter."""

import random
import re
import string
from datetime import UTC, datetime

import pytest

from grammar import CLIENTS, KEY_ALONE, NAMED_KEYS, SAME_KEYS, SECRET
from zama_ops.errors import CommandError
from zama_ops.keyring import Key, issued, joined, parse


def test_a_key_is_long_dated_and_its_own() -> None:
    """256 random bits, the day, a checksum; and the gateway takes it."""
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
    """Any one digit that differs breaks the checksum."""
    secret = Key.issue("acme").secret
    for place in range(len("zama_"), len(secret)):
        if secret[place] == "_":
            continue
        other = random.choice(  # noqa: S311 - no secret
            [digit for digit in string.digits if digit != secret[place]]
        )
        assert issued(secret[:place] + other + secret[place + 1 :]) is None


def test_what_is_printed_of_a_key_is_not_the_key() -> None:
    """Neither in a traceback nor in a log."""
    key = Key.issue("acme")
    assert key.secret not in f"{key} {key!r} {[key]}"


@pytest.mark.parametrize("client", [*CLIENTS[1], "a=b"])
def test_a_name_that_the_gateway_would_refuse_is_refused(client: str) -> None:
    """Before anything is written."""
    with pytest.raises(CommandError, match=r"cannot be a client's name: it must be 1 to 64"):
        Key.issue(client)


def test_the_parameter_is_read_and_written_alike() -> None:
    """Also with keys that were not issued here."""
    text = f"acme=first+Key/0123456== globex={Key.issue('globex').secret} acme=CHANGEME"
    keys = parse(text)
    assert [key.client for key in keys] == ["acme", "globex", "acme"]
    assert [key.age_days for key in keys] == [None, 0, None]
    assert joined(keys) == text
    assert parse("unset") == ()


def test_what_the_gateway_accepts_is_read() -> None:
    """Spaces do not matter."""
    for text, secrets in NAMED_KEYS.accepted.items():
        assert tuple(key.secret for key in parse(text)) == secrets, text


@pytest.mark.parametrize(
    "text", [*NAMED_KEYS.refused, *SAME_KEYS.refused, *KEY_ALONE.refused, ""], ids=repr
)
def test_a_malformed_parameter_is_reported_without_its_text(text: str) -> None:
    """For it may be a key."""
    with pytest.raises(CommandError, match="does not hold CLIENT=KEY pairs") as error:
        parse(text)
    assert not SECRET.search(str(error.value))
