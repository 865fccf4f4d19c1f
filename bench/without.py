"""Run the API without one of its features: `python bench/without.py FEATURE`, for `make bench`."""

import re
import sys
from collections.abc import Sequence

from zama_api import app, service
from zama_api.logs import Request
from zama_api.metrics import Metrics

feature = sys.argv.pop()
if feature == "metrics":

    def observe(_metrics: Metrics, _requests: Sequence[Request]) -> None:
        """Count nothing."""

    # Patched from outside, so that the service needs no setting for it.
    Metrics.observe = observe  # type: ignore[method-assign, assignment]
elif feature == "request id":
    # Also patched: accepts any request id, even an empty one.
    app._is_request_id = re.compile("").match  # type: ignore[misc]  # noqa: SLF001
else:
    sys.exit(f"there is no feature {feature}")
sys.exit(service.main())
