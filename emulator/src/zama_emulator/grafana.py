"""Amazon Managed Grafana: workspaces, their tags and the roles of their users.

https://docs.aws.amazon.com/grafana/latest/APIReference/API_Operations.html
"""

import json
import time
from typing import Any, Final
from urllib.parse import parse_qs, unquote

_NOT_FOUND: Final = (404, b'{"__type": "ResourceNotFoundException", "message": "Not found."}')

_workspaces: Final[dict[str, dict[str, Any]]] = {}
# By workspace: role, user's type and user's id.
_permissions: Final[dict[str, set[tuple[str, str, str]]]] = {}


def answer(method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
    """Return status and body of the answer to a request."""
    if (method, path) == ("POST", "/workspaces"):
        return _json({"workspace": _create(json.loads(body))})
    _, kind, name, *rest = unquote(path).split("/", 3)
    identity = "".join(rest).rpartition("/")[2] if kind == "tags" else name
    workspace = _workspaces.get(identity)
    if workspace is None:
        return _NOT_FOUND
    given = json.loads(body or b"{}")
    if kind == "tags":
        return _json(_tags(workspace["tags"], method, query, given))
    if rest == ["permissions"]:
        return _json(_users(identity, given.get("updateInstructionBatch")))
    if rest == ["configuration"]:
        return _json({"configuration": "{}"})
    if method == "DELETE":
        del _workspaces[identity]
    elif method == "PUT":
        changes = {_MEMBERS.get(key, key): value for key, value in given.items()}
        workspace |= {**changes, "modified": int(time.time())}
    return _json({"workspace": workspace})


def _json(answer: dict[str, Any]) -> tuple[int, bytes]:
    return 200, json.dumps(answer).encode()


# The names of members in a description, where they differ from those in a request.
_MEMBERS: Final = {
    "workspaceName": "name",
    "workspaceDescription": "description",
    "workspaceDataSources": "dataSources",
}


def _tags(
    tags: dict[str, str], method: str, query: str, given: dict[str, Any]
) -> dict[str, dict[str, str]]:
    """Change or list a workspace's tags."""
    if method == "GET":
        return {"tags": tags}
    tags |= given.get("tags", {})
    for key in parse_qs(query).get("tagKeys", []):
        tags.pop(key, None)
    return {}


def _users(identity: str, instructions: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Change or list the roles of users and groups."""
    held = _permissions.setdefault(identity, set())
    if instructions is None:
        return {
            "permissions": [
                {"role": role, "user": {"type": kind, "id": user}}
                for role, kind, user in sorted(held)
            ]
        }
    for one in instructions:
        users = {(one["role"], user["type"], user["id"]) for user in one["users"]}
        change = held.update if one["action"] == "ADD" else held.difference_update
        change(users)
    return {"errors": []}


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
