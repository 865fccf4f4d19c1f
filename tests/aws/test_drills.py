"""Drills: a fault fires its alarm, and the runbook's mitigation clears it."""

import json
from typing import Final

import pytest

from deployment import Deployment
from stack import Report, zama
from zama_ops.local.aws_drill import DRILLS

# Minutes of AWS in a minute.
_SPEED: Final = 20
_REQUESTS_PER_SECOND: Final = 20
# The others run on the profile that deploys faster.
_ON_PRODUCTION: Final = ("task-killed",)


@pytest.mark.parametrize(
    ("deployment", "name"),
    [("production" if name in _ON_PRODUCTION else "minimal", name) for name in DRILLS],
    indirect=["deployment"],
)
def test_an_alarm_fires_and_clears(deployment: Deployment, name: str, report: Report) -> None:
    """The alarm fires within its limit, and clears after the mitigation within another."""
    options = (f"--speed={_SPEED}", f"--rate={_REQUESTS_PER_SECOND}", "--json")
    environ = {**deployment.account.environ(), "CONNECT_TO": deployment.address}
    done = zama("drill", "aws", name, *options, **environ)
    assert done.returncode == 0, done.stderr
    # With a fast clock, one stalled second of this machine makes targets unhealthy for a moment.
    deployment.account.wait_until_served(deployment.outputs["url"])
    (result,) = json.loads(done.stdout)["drills"]
    report(
        f"drill {name}, {deployment.profile}: {result['alarm']} fired after"
        f" {result['fired_after']} min, cleared {result['cleared_after']} min after the"
        f" mitigation; {result['requests']} requests, lost {result['lost']}"
    )
    if name == "bad-release":
        # A tenth of the requests, and no other.
        assert {*result["lost"]} == {"500"}
        assert result["lost"]["500"] < 0.2 * result["requests"]
