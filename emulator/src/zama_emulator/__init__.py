"""AWS on this machine: MiniStack and moto, corrected where a deployment would notice a difference.

README.md documents the coverage.
"""

from typing import Final

__version__ = "0.1.0"

PORTS: Final = 3
"""The number of consecutive ports of an emulator: HTTP, HTTPS, moto."""

CHECKS_PATH: Final = "/_zama/checks"
"""Where the emulator counts its checks: calls validated, rules evaluated, calls refused."""

CLOCK_PATH: Final = "/_zama/clock"
"""Where the emulator tells its clock's speed, and POST changes it: `{"speed": 60}`."""

ACCOUNT: Final = "000000000000"
"""The account id."""

REGION: Final = "eu-west-1"
"""The region."""

_MOTO: Final = ("AMP", "APPLICATION_AUTO_SCALING", "CODEDEPLOY", "EC2")


def environment(port: int) -> dict[str, str]:
    """Return the settings that point AWS clients at the emulator with this first port."""
    return {
        # An IP address, so that S3 clients put the bucket into the path.
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        **{f"AWS_ENDPOINT_URL_{service}": f"http://127.0.0.1:{port + 2}" for service in _MOTO},
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }
