"""Generated requests get only documented responses."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis import Case, HookContext

from stack import KEY, UNLIMITED, Pair, Part, ProcessStack
from zama_ops.paths import ROOT

# The gateway's copy of openapi.yaml: JSON loads in a hundredth of the time.
schema = schemathesis.openapi.from_path(ROOT / "services" / "nginx" / "docs" / "openapi.json")
# Oversized requests get these statuses, whatever else is wrong with them.
schema.config.checks.negative_data_rejection.expected_statuses += ["413", "414", "431"]


@schema.hook
def filter_body(context: HookContext, body: Any) -> bool:  # noqa: ARG001 - the hook's signature
    """Leave out 2.0, which JSON Schema calls an integer and this API a float (422)."""
    values = body.values() if isinstance(body, dict) else ()
    return not any(isinstance(value, float) and value.is_integer() for value in values)


@pytest.fixture(scope="module")
def strict(module_processes: ProcessStack) -> Pair:
    """Return a pair that checks the key twice, so that both parts follow the whole contract."""
    return module_processes.start(REQUIRE_API_KEY="true", **UNLIMITED)


def examples(count: int) -> hypothesis_settings:
    """Return settings that generate this number of requests for an operation."""
    fixtures = [HealthCheck.function_scoped_fixture]
    return hypothesis_settings(max_examples=count, deadline=None, suppress_health_check=fixtures)


def validate(case: Case[Any], part: Part) -> None:
    case.call_and_validate(base_url=part.url, headers={"X-Api-Key": KEY})


@pytest.mark.parametrize("name", ["gateway", "api"])
@schema.include(method="POST").parametrize()
@examples(200)
def test_responses_to_sum_follow_the_contract(case: Case[Any], strict: Pair, name: str) -> None:
    """Responses to valid and invalid bodies have documented statuses, headers and bodies."""
    validate(case, getattr(strict, name))


@pytest.mark.parametrize("name", ["gateway", "api"])
@schema.exclude(method="POST").parametrize()
@examples(20)
def test_responses_without_a_request_body_follow_the_contract(
    case: Case[Any], strict: Pair, name: str
) -> None:
    """Few examples suffice for operations without a request body."""
    validate(case, getattr(strict, name))
