"""How fast the pair is, as a share of what nginx itself can do at the same time on this machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

import measure
from contestants import ON_LOAD_CORE, Starter
from zama_ops.programs import Programs

ROUNDS = 7
SECONDS = 1
# `make bench` measures 0.55; without kept connections to the API it is 0.33.
LEAST = 0.4


@pytest.mark.alone
@pytest.mark.needs("wrk", "cores")
def test_the_pair_is_not_far_from_nginx_itself(
    tmp_path: Path, report: Callable[[str], None]
) -> None:
    """The median of paired rounds, so that a busy machine does not matter."""
    tmp_path.chmod(0o711)  # nginx' workers are another user.
    with Programs(tmp_path) as programs:
        starter = Starter(programs)
        contestants = starter.gateway(starter.api()), starter.proxy(starter.static())

        def load(url: str) -> float:
            return measure.load(url, SECONDS, tmp_path, ON_LOAD_CORE).requests_per_second

        rounds = [[load(one.url) for one in contestants] for _ in range(ROUNDS)]
    ratio = measure.spread([pair / proxy for pair, proxy in rounds])
    report(f"pair / nginx to a static nginx: {ratio['median']:.2f} of the throughput")
    assert ratio["median"] >= LEAST, ratio
