"""The rate limit: who shares a bucket, and what counts."""

from collections import Counter

import pytest

from stack import JSON, KEY, SUM, TESTER, Answer, Pair, ProcessStack, Stack, send

SETTINGS = {
    "API_KEYS": f"default={KEY} acme=first acme=second globex=third",
    "TRUSTED_PROXIES": TESTER,
}


@pytest.fixture
def limited(stack: Stack) -> Pair:
    """Return a pair with the default limit, to which the test is a trusted load balancer."""
    return stack.start(**SETTINGS)


def post_sum(pair: Pair, key: str = "", address: str = "203.0.113.1") -> Answer:
    """Ask for a sum, as `address`."""
    headers = {**JSON, "X-Forwarded-For": address, **({"X-Api-Key": key} if key else {})}
    return send(pair.gateway.url, "POST", "/sum", headers, SUM)


def statuses(pair: Pair, times: int, **caller: str) -> Counter[int]:
    """Ask `times` times and count the answers by status."""
    return Counter(post_sum(pair, **caller).status for _ in range(times))


def test_a_burst_over_the_limit_ends_in_429(limited: Pair) -> None:
    """One request and a burst of five pass at once, the next does not."""
    answers = statuses(limited, 20, key=KEY)
    # Twenty requests take a few milliseconds; a slow machine earns one more in 200.
    assert answers[200] in {6, 7, 8}
    assert answers[429] == 20 - answers[200]
    # The access log has it; the error log must not.
    assert b"limiting" not in limited.gateway.errors()


def test_429_says_what_the_limit_is_and_when_to_come_back(limited: Pair) -> None:
    """The headers are those of the specification."""
    statuses(limited, 10, key=KEY)
    answer = post_sum(limited, KEY)
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["ratelimit-policy"] == '"default";q=5;w=1'
    assert answer.headers["ratelimit"] == '"default";r=0;t=1'
    assert answer.json()["title"] == "Too Many Requests"


def test_the_limit_is_a_setting(stack: Stack) -> None:
    """RATE_LIMIT and RATE_BURST move it, and the header says so."""
    pair = stack.start(RATE_LIMIT="1", RATE_BURST="2", **SETTINGS)
    assert statuses(pair, 10, key=KEY)[200] == 3
    assert post_sum(pair, KEY).headers["ratelimit-policy"] == '"default";q=1;w=1'


def test_a_client_shares_one_bucket_wherever_it_calls_from(limited: Pair) -> None:
    """A known key from two addresses is one caller."""
    statuses(limited, 10, key=KEY, address="203.0.113.1")
    assert post_sum(limited, KEY, "203.0.113.2").status == 429


def test_two_keys_of_a_client_share_one_bucket(limited: Pair) -> None:
    """Rotating a key does not double the limit."""
    statuses(limited, 10, key="first")
    assert post_sum(limited, "second").status == 429


def test_two_clients_do_not_share_a_bucket(limited: Pair) -> None:
    """One caller's load is not another's problem, even from one address."""
    statuses(limited, 10, key="first")
    assert post_sum(limited, "third").status == 200


def test_guessing_keys_is_throttled(limited: Pair) -> None:
    """Wrong keys end in 429, each one another guess."""
    answers = Counter(post_sum(limited, f"guess-{number}").status for number in range(20))
    assert answers[403] in {6, 7, 8}
    assert answers[429] == 20 - answers[403]


def test_calls_without_a_key_are_throttled(limited: Pair) -> None:
    """So are callers who do not even try."""
    answers = statuses(limited, 20)
    assert answers[429] == 20 - answers[401] >= 12


def test_strangers_are_limited_by_address(limited: Pair) -> None:
    """Who guesses from one address does not lock out another."""
    statuses(limited, 10)
    assert post_sum(limited, address="203.0.113.2").status == 401


def test_a_guesser_does_not_lock_out_the_client_behind_the_same_address(limited: Pair) -> None:
    """A valid key has its own bucket."""
    statuses(limited, 10, key="guess")
    assert post_sum(limited, KEY).status == 200


def test_a_spoofed_address_changes_nothing(stack: Stack) -> None:
    """From a peer that is no trusted proxy the header is ignored."""
    pair = stack.start(API_KEY=KEY)
    answers = Counter(
        post_sum(pair, "guess", address=f"203.0.113.{number}").status for number in range(20)
    )
    assert answers[429] >= 12


def test_only_the_last_untrusted_address_counts(limited: Pair) -> None:
    """What a caller puts in front of what the load balancer added is its own invention."""
    answers = Counter(
        post_sum(limited, "guess", address=f"198.51.100.{number}, 203.0.113.1").status
        for number in range(20)
    )
    assert answers[429] >= 12


def test_health_checks_are_not_limited(limited: Pair) -> None:
    """The load balancer may ask as often as it likes."""
    answers = [send(limited.gateway.url, path="/readyz").status for _ in range(30)]
    assert set(answers) == {200}


@pytest.mark.parametrize(
    ("trusted", "forwarded", "logged"),
    [
        ("", "203.0.113.1", "127.0.0.1"),
        ("10.0.0.0/8", "203.0.113.1", "127.0.0.1"),
        ("127.0.0.0/8", "203.0.113.1", "203.0.113.1"),
        ("127.0.0.1", "203.0.113.1, 203.0.113.2", "203.0.113.2"),
        ("127.0.0.1, 10.0.0.0/8", "203.0.113.1, 10.1.2.3", "203.0.113.1"),
        ("127.0.0.1 10.0.0.0/8", "203.0.113.1, 192.0.2.1, 10.1.2.3", "192.0.2.1"),
        ("127.0.0.1 ::1", "2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
    ],
)
def test_the_address_is_the_last_untrusted_one(
    processes: ProcessStack, trusted: str, forwarded: str, logged: str
) -> None:
    """TRUSTED_PROXIES says whose word about the address is taken."""
    pair = processes.start(TRUSTED_PROXIES=trusted)
    answer = send(pair.gateway.url, path="/healthz", headers={"X-Forwarded-For": forwarded})
    assert pair.gateway.line(answer.headers["x-request-id"])["remote_addr"] == logged
