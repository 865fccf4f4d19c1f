"""Amazon Managed Grafana: workspaces can be created, described and deleted.

https://docs.aws.amazon.com/grafana/latest/APIReference/API_Operations.html
"""

import json
import time
from typing import Any

_workspaces: dict[str, dict[str, Any]] = {}


def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Return status and body of the answer to a request."""
    identity = path.split("/")[2] if path.startswith("/workspaces/") else ""
    if (method, path) == ("POST", "/workspaces"):
        workspace = _create(json.loads(body))
    elif method == "GET" and path.startswith("/tags/"):
        return 200, json.dumps({"tags": {}}).encode()
    elif identity not in _workspaces:
        return 404, b'{"__type": "ResourceNotFoundException", "message": "Not found."}'
    elif path.endswith("/configuration"):
        return 200, json.dumps({"configuration": "{}"}).encode()
    elif method == "DELETE":
        workspace = _workspaces.pop(identity)
    else:
        workspace = _workspaces[identity]
    return 200, json.dumps({"workspace": workspace}).encode()


def _create(given: dict[str, Any]) -> dict[str, Any]:
    identity = f"g-{len(_workspaces):010}"
    now = int(time.time())
    workspace = {
        "id": identity,
        "name": given["workspaceName"],
        "description": given.get("workspaceDescription", ""),
        "status": "ACTIVE",
        "accountAccessType": given["accountAccessType"],
        "authentication": {"providers": given["authenticationProviders"]},
        "permissionType": given["permissionType"],
        "dataSources": given.get("workspaceDataSources", []),
        "workspaceRoleArn": given.get("workspaceRoleArn", ""),
        "tags": given.get("tags", {}),
        "endpoint": f"{identity}.grafana-workspace.eu-west-1.amazonaws.com",
        "grafanaVersion": "10.4",
        "created": now,
        "modified": now,
    }
    _workspaces[identity] = workspace
    return workspace
