"""Rules of Amazon Managed Grafana."""

import re
from typing import Any, Final

from zama_emulator.rules import Given, rule, state

_API: Final = "grafana/latest/APIReference/API_"
_INVALID: Final = "ValidationException"


@rule("grafana", "CreateWorkspace UpdateWorkspace", _INVALID, f"{_API}CreateWorkspace.html")
def organization_units(given: Given) -> Any:
    """Organizational units are for the access type ORGANIZATION, which needs them."""
    units = given.get("workspaceOrganizationalUnits")
    return bool(units) != (given.get("accountAccessType") == "ORGANIZATION") and (
        "accountAccessType" in given
    )


@rule("grafana", "CreateWorkspace", _INVALID, f"{_API}CreateWorkspace.html")
def workspace_role(given: Given) -> Any:
    """A workspace that customers manage has a role, which Grafana can assume."""
    arn = given.get("workspaceRoleArn")
    if given["permissionType"] == "CUSTOMER_MANAGED" and not arn:
        return True
    return arn and "grafana.amazonaws.com" not in state.trust_policy(arn)


@rule("grafana", "CreateWorkspace", _INVALID, "grafana/latest/userguide/version-differences.html")
def grafana_version(given: Given) -> Any:
    """A workspace's version of Grafana is 8.4, 9.4, 10.4 or 12.4."""
    version = given.get("grafanaVersion")
    return version and not re.fullmatch(r"8\.4|9\.4|10\.4|12\.4", version)
