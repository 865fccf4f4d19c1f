"""The throughput of the API and gateway, as a share of nginx's at the same time."""

from pathlib import Path

import pytest

import measure
from contestants import ON_LOAD_CORE, Starter
from stack import Report
from zama_ops.programs import Programs

ROUNDS = 7
SECONDS = 1
# `make bench` measures 0.55, and 0.33 without kept connections to the API.
LEAST = 0.4


@pytest.mark.alone
@pytest.mark.needs("wrk", "cores")
def test_the_throughput_is_close_to_nginxs_own(tmp_path: Path, report: Report) -> None:
    """The test compares paired rounds and takes the median, so load on the machine cancels out."""
    tmp_path.chmod(0o711)  # nginx's workers run as another user.
    with Programs(tmp_path) as programs:
        starter = Starter(programs)
        contestants = starter.gateway(starter.api()), starter.proxy(starter.static())

        def load(url: str) -> float:
            return measure.load(url, SECONDS, tmp_path, ON_LOAD_CORE).requests_per_second

        rounds = [[load(one.url) for one in contestants] for _ in range(ROUNDS)]
    ratio = measure.spread([pair / proxy for pair, proxy in rounds])
    report(f"pair / nginx to a static nginx: {ratio['median']:.2f} of the throughput")
    assert ratio["median"] >= LEAST, ratio
