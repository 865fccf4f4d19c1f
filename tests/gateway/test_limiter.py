"""The rate limit: the callers that share a bucket, and the requests that count."""

import contextlib
import itertools
import math
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from stack import JSON, KEY, TESTER, Pair, Part, ProcessStack, Stack, connect, send
from zama_ops.contract_checks import SUM
from zama_ops.http_client import Answer
from zama_ops.programs import wait_until

CLIENTS = 40
RATE = BURST = 5
PUBLIC = {"rate": 20, "burst": 100}
# So many that the last are over the limit even if each takes 0.15 s.
CALLS = 30


@dataclass(frozen=True)
class Caller:
    """A client with two keys and two addresses that no other test uses."""

    number: int

    @property
    def keys(self) -> tuple[str, str]:
        return f"key-of-client-{self.number}-a", f"key-of-client-{self.number}-b"

    @property
    def addresses(self) -> tuple[str, str]:
        return f"203.0.113.{2 * self.number}", f"203.0.113.{2 * self.number + 1}"


# Names of different sizes in the limiter, by key.
NAMES = {f"{length:016}": length * "n" for length in (1, 41, 42, 64)}
PAIRS = [
    *(f"client-{number}={key}" for number in range(CLIENTS) for key in Caller(number).keys),
    *(f"{name}={key}" for key, name in NAMES.items()),
]
SETTINGS = {"API_KEYS": " ".join(PAIRS), "TRUSTED_PROXIES": TESTER}

_numbers = itertools.count()


@pytest.fixture(scope="module")
def limited(module_stack: Stack) -> Pair:
    """Return a pair with the default limit that trusts the test as a load balancer."""
    return module_stack.start(**SETTINGS)


@pytest.fixture
def caller() -> Caller:
    return Caller(next(_numbers) % CLIENTS)


@pytest.fixture
def other() -> Caller:
    return Caller(next(_numbers) % CLIENTS)


def post_sum(pair: Pair, key: str = "", address: str = "203.0.113.255") -> Answer:
    headers = {**JSON, "X-Forwarded-For": address, **({"X-Api-Key": key} if key else {})}
    return send(pair.gateway.url, "POST", "/sum", headers, SUM)


def allowed(began: float, rate: int, burst: int) -> int:
    """Return how many requests of a caller may have passed: one, a burst, and the rate's."""
    # nginx reads a clock that may be some milliseconds late.
    return 1 + burst + math.floor(rate * (time.monotonic() - began + 0.01))


def first_refused(send_one: Callable[[], Answer], rate: int = RATE, burst: int = BURST) -> Answer:
    """Send requests until one is refused, which must be in time, and return its answer."""
    began = time.monotonic()
    for passed in itertools.count(1):
        answer = send_one()
        if answer.status == 429:
            break
        assert passed <= allowed(began, rate, burst)
    return answer


def refused(pair: Pair, **caller: str) -> Answer:
    """Empty the bucket of a caller of `/sum`, and return the first refusal."""
    return first_refused(lambda: post_sum(pair, **caller))


def check_one_bucket(
    pair: Pair,
    callers: Iterable[Mapping[str, str]],
    passes: int,
    rate: int = RATE,
    burst: int = BURST,
) -> None:
    """Send requests of them in turn, and check that as many as of one have the status `passes`."""
    sent = itertools.islice(itertools.cycle(callers), CALLS)
    began = time.monotonic()
    answers = Counter(post_sum(pair, **caller).status for caller in sent)
    assert 1 + burst <= answers[passes] <= allowed(began, rate, burst)
    assert answers[429] == CALLS - answers[passes] > 0


def test_a_burst_over_the_limit_ends_in_429(limited: Pair, caller: Caller) -> None:
    """One request and a burst of five pass at once, and the next one does not."""
    check_one_bucket(limited, [{"key": caller.keys[0]}], 200)


def test_429_states_the_limit_and_when_to_retry(limited: Pair, caller: Caller) -> None:
    """The headers follow the specification."""
    answer = refused(limited, key=caller.keys[0])
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["ratelimit-policy"] == '"default";q=5;w=1'
    assert answer.headers["ratelimit"] == '"default";r=0;t=1'
    assert answer.json()["title"] == "Too Many Requests"


def test_the_limit_is_a_setting(processes: ProcessStack, shared_api: Part, caller: Caller) -> None:
    """RATE_LIMIT and RATE_BURST change it, and the header shows it."""
    limits = {"RATE_LIMIT": "1", "RATE_BURST": "2"}
    pair = Pair(shared_api, processes.start_gateway(shared_api, **limits, **SETTINGS))
    check_one_bucket(pair, [{"key": caller.keys[0]}], 200, rate=1, burst=2)
    policy = refused(pair, key=caller.keys[0]).headers["ratelimit-policy"]
    assert policy == '"default";q=1;w=1'


def test_a_client_has_one_bucket_for_all_addresses(limited: Pair, caller: Caller) -> None:
    """A known key from two addresses is one caller."""
    key = caller.keys[0]
    callers = [{"key": key, "address": address} for address in caller.addresses]
    check_one_bucket(limited, callers, 200)


def test_two_keys_of_a_client_share_one_bucket(limited: Pair, caller: Caller) -> None:
    """Rotating a key does not double the limit."""
    check_one_bucket(limited, [{"key": key} for key in caller.keys], 200)


def test_two_clients_do_not_share_a_bucket(limited: Pair, caller: Caller, other: Caller) -> None:
    """One client's load does not affect another, even from the same address."""
    refused(limited, key=caller.keys[0])
    assert post_sum(limited, other.keys[0]).status == 200


def test_guessing_keys_is_throttled(limited: Pair, caller: Caller) -> None:
    """Different wrong keys count together and end in 429."""
    address = caller.addresses[0]
    guesses = [{"key": f"guess-{number}", "address": address} for number in range(CALLS)]
    check_one_bucket(limited, guesses, 403)


def test_calls_without_a_key_are_throttled(limited: Pair, caller: Caller) -> None:
    """Calls without a key count as well."""
    check_one_bucket(limited, [{"address": caller.addresses[0]}], 401)


def test_unknown_callers_are_limited_by_address(limited: Pair, caller: Caller) -> None:
    """Guessing from one address does not lock out another address."""
    guesser, stranger = caller.addresses
    refused(limited, address=guesser)
    assert post_sum(limited, address=stranger).status == 401


def test_a_guesser_does_not_lock_out_the_client_behind_the_same_address(
    limited: Pair, caller: Caller
) -> None:
    """A valid key has its own bucket."""
    address = caller.addresses[0]
    refused(limited, key="guess", address=address)
    assert post_sum(limited, caller.keys[0], address).status == 200


def test_a_spoofed_address_changes_nothing(processes: ProcessStack, shared_api: Part) -> None:
    """The header is ignored from a peer that is not a trusted proxy."""
    pair = Pair(shared_api, processes.start_gateway(shared_api, API_KEY=KEY))
    guesses = [{"key": "guess", "address": f"203.0.113.{number}"} for number in range(CALLS)]
    check_one_bucket(pair, guesses, 403)


def test_only_the_last_untrusted_address_counts(limited: Pair, caller: Caller) -> None:
    """Entries before the load balancer's are the caller's claim and do not count."""
    own = caller.addresses[0]
    claims = [f"198.51.100.{number}, {own}" for number in range(CALLS)]
    check_one_bucket(limited, [{"key": "guess", "address": claim} for claim in claims], 403)


def test_an_ipv6_network_has_one_bucket(limited: Pair, caller: Caller) -> None:
    """Addresses with the same first 64 bits count together, and others do not."""
    network = f"2001:db8:{caller.number:x}:1:"
    guesses = [{"key": "guess", "address": f"{network}:{n:x}"} for n in range(CALLS)]
    check_one_bucket(limited, guesses, 403)
    assert post_sum(limited, "guess", f"2001:db8:{caller.number:x}:2::1").status == 403


def test_an_ipv4_address_written_as_ipv6_has_the_same_bucket(
    limited: Pair, caller: Caller, other: Caller
) -> None:
    """It is one caller, in either form, and shares no bucket with other such addresses."""
    address = caller.addresses[0]
    check_one_bucket(limited, [{"address": address}, {"address": f"::ffff:{address}"}], 401)
    assert post_sum(limited, address=f"::ffff:{other.addresses[0]}").status == 401


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/docs/docs.js", "/openapi.json"])
def test_a_flood_of_a_public_path_is_limited_by_address(
    limited: Pair, caller: Caller, path: str
) -> None:
    """A page with many files still loads; a flood gets 429, and others do not notice."""

    def get(address: str) -> Answer:
        return send(limited.gateway.url, path=path, headers={"X-Forwarded-For": address})

    here, there = caller.addresses
    assert {get(here).status for _ in range(30)} == {200}
    answer = first_refused(lambda: get(here), **PUBLIC)
    assert answer.headers["ratelimit-policy"] == '"default";q=20;w=1'
    assert get(there).status == 200
    assert post_sum(limited, caller.keys[0], here).status == 200


def test_a_forwarded_flood_of_the_readiness_is_limited(limited: Pair, caller: Caller) -> None:
    """A caller's request is not a health check."""

    def ready(headers: Mapping[str, str]) -> Answer:
        return send(limited.gateway.url, path="/readyz", headers=headers)

    first_refused(lambda: ready({"X-Forwarded-For": caller.addresses[0]}), **PUBLIC)
    assert ready({}).status == 200


def test_health_checks_are_not_limited(limited: Pair) -> None:
    """The load balancer may check at any rate."""
    answers = [send(limited.gateway.url, path="/readyz").status for _ in range(300)]
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
    processes: ProcessStack, shared_api: Part, trusted: str, forwarded: str, logged: str
) -> None:
    """TRUSTED_PROXIES lists the networks whose X-Forwarded-For entries are trusted."""
    gateway = processes.start_gateway(shared_api, TRUSTED_PROXIES=trusted)
    answer = send(gateway.url, path="/healthz", headers={"X-Forwarded-For": forwarded})
    assert gateway.line(answer.headers["x-request-id"])["remote_addr"] == logged


# --- Floods ---------------------------------------------------------------------------------------
# They come last, because others share these limits.


@contextlib.contextmanager
def flood(pair: Pair, addresses: int) -> Iterator[bytearray]:
    """Send a request without a key from each address, on one connection; yield the answers."""
    numbers = (f"198.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(addresses))
    requests = (f"GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {n}\r\n\r\n" for n in numbers)
    answers = bytearray()

    def read() -> None:
        while chunk := attacker.recv(2**20):
            answers.extend(chunk)

    with connect(pair.gateway.url, 60) as attacker, ThreadPoolExecutor() as pool:
        reading = pool.submit(read)
        while batch := "".join(itertools.islice(requests, 1000)):
            attacker.sendall(batch.encode())
        yield answers
        attacker.shutdown(socket.SHUT_WR)
        reading.result()


def test_callers_without_a_key_share_a_limit(limited: Pair, caller: Caller) -> None:
    """It holds for a flood from many addresses, and for no client and no health check."""
    began = time.monotonic()
    with flood(limited, 3000) as answers:
        assert post_sum(limited, caller.keys[0]).status == 200
        assert limited.gateway.status("/readyz") == 200
        # nginx may drop the answers that are still to be sent when the caller ends its side.
        wait_until(lambda: answers.count(b"HTTP/1.1 ") == 3000, "every request is answered", 60)
    seconds = time.monotonic() - began
    found = Counter(re.findall(rb"HTTP/1.1 (\d+) ", answers))
    assert found[b"401"] + found[b"429"] == 3000
    assert 0 < found[b"401"] <= 501 + 500 * seconds
    assert found[b"429"]


def test_a_flood_from_many_addresses_starves_no_client(limited: Pair) -> None:
    """Whatever the length of its name, a client has its place when the addresses' zone is full."""
    with flood(limited, 100_000):
        for key in NAMES:
            assert {post_sum(limited, key).status for _ in range(1 + BURST)} == {200}
