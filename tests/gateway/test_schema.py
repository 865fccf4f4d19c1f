"""Generated requests against the contract: what the contract does not say does not happen."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis import Case, HookContext

from stack import KEY, UNLIMITED, Pair, Part, ProcessStack
from zama_ops.paths import ROOT

schema = schemathesis.openapi.from_path(ROOT / "services" / "api" / "openapi.yaml")
# What is too large is refused for that, whatever else is wrong with it.
schema.config.checks.negative_data_rejection.expected_statuses += ["413", "414", "431"]


@schema.hook
def filter_body(context: HookContext, body: Any) -> bool:  # noqa: ARG001 - the hook's signature
    """Leave out 2.0, which JSON Schema calls an integer and this API a float (422)."""
    values = body.values() if isinstance(body, dict) else ()
    return not any(isinstance(value, float) and value.is_integer() for value in values)


@pytest.fixture(scope="module")
def strict(module_processes: ProcessStack) -> Pair:
    """Return a pair that checks the key twice, so that both keep the whole contract."""
    return module_processes.start(REQUIRE_API_KEY="true", **UNLIMITED)


def examples(count: int) -> hypothesis_settings:
    """Return the settings of a test that generates so many requests of an operation."""
    fixtures = [HealthCheck.function_scoped_fixture]
    return hypothesis_settings(max_examples=count, deadline=None, suppress_health_check=fixtures)


def validate(case: Case[Any], part: Part) -> None:
    """Send a generated request, and compare the answer with the contract."""
    case.call_and_validate(base_url=part.url, headers={"X-Api-Key": KEY})


@pytest.mark.parametrize("name", ["gateway", "api"])
@schema.include(method="POST").parametrize()
@examples(200)
def test_only_what_the_contract_says_happens(case: Case[Any], strict: Pair, name: str) -> None:
    """Status, headers and body of every answer are documented, for valid and invalid requests."""
    validate(case, getattr(strict, name))


@pytest.mark.parametrize("name", ["gateway", "api"])
@schema.exclude(method="POST").parametrize()
@examples(20)
def test_what_takes_no_body_keeps_the_contract(case: Case[Any], strict: Pair, name: str) -> None:
    """Status, headers and body are documented; little can be generated for a request without."""
    validate(case, getattr(strict, name))
