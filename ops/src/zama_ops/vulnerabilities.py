"""Known vulnerabilities that `make audit` and `zama images scan` ignore until a date.

As a program, it prints pip-audit's options.
"""

import datetime as dt
import re
import sys
from typing import Final

import yaml

from zama_ops.console import notes, say
from zama_ops.errors import CommandError
from zama_ops.paths import ROOT

_FILE: Final = ROOT / ".vulnerabilities.yaml"
_FIELDS: Final = {"id", "reason", "expires"}
_ID: Final = re.compile(r"[A-Z][A-Za-z0-9]*(-[A-Za-z0-9]+)+")


def exceptions() -> list[str]:
    """Return the ids to ignore.

    Raises:
        CommandError: an entry is malformed or has expired.

    """
    try:
        entries = yaml.safe_load(_FILE.read_text())["exceptions"]
        return [_valid(entry) for entry in entries]
    except (yaml.YAMLError, KeyError, TypeError):
        raise CommandError(f"{_FILE.name} must have a list `exceptions`.") from None


def _valid(entry: object) -> str:
    if not isinstance(entry, dict) or set(entry) != _FIELDS:
        raise CommandError(f"{_FILE.name}: {entry!r} must have an id, a reason and `expires`.")
    identity, expires = str(entry["id"]), entry["expires"]
    if not _ID.fullmatch(identity):
        raise CommandError(f"{_FILE.name}: {identity!r} is no id, such as CVE-2026-12345.")
    if not isinstance(entry["reason"], str) or not entry["reason"].strip():
        raise CommandError(f"{_FILE.name}: {identity} needs a reason.")
    if type(expires) is not dt.date:
        raise CommandError(f"{_FILE.name}: {identity} must expire on a date, such as 2027-01-31.")
    if expires <= dt.datetime.now(dt.UTC).date():
        raise CommandError(
            f"{_FILE.name}: {identity} expired on {expires}. Upgrade the package or set a new date."
        )
    return identity


if __name__ == "__main__":
    try:
        say(" ".join(f"--ignore-vuln={identity}" for identity in exceptions()))
    except CommandError as error:
        notes.print(f"audit: {error}", style="red")
        sys.exit(1)
