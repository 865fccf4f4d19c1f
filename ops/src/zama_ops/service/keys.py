"""`zama keys`: issue, list, rotate, revoke and restore API keys."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from zama_ops.aws import client
from zama_ops.console import Table, errors_told, notes, say, say_json, show, step
from zama_ops.contract_checks import SUM, BrokenError, caller, expect
from zama_ops.ecs_service import EcsService
from zama_ops.errors import CommandError
from zama_ops.http_client import NoAnswerError
from zama_ops.keyring import Key, Keyring
from zama_ops.logs_insights import ask, questions
from zama_ops.options import PREFIX, AsJson, ConnectTo, Prefix

# Enough to reach each of several tasks, which the load balancer calls in turn.
_PROOFS: Final = 6
_FULL: Final = 0.8
_NEXT: Final = "The key is accepted after the next deployment: run `zama keys deploy`."

app: Final = typer.Typer(
    help="Issue, list, rotate and revoke API keys. All keys are in one SSM parameter. Tasks read it"
    " when they start, so a change takes effect with the next deployment.",
    no_args_is_help=True,
)

Client = Annotated[
    str, typer.Argument(metavar="CLIENT", help="The client's name, as in the access log.")
]
Advanced = Annotated[
    bool, typer.Option("--advanced", help="Pay for 8 KiB of keys if 4 KiB are not enough.")
]


# --- Commands -------------------------------------------------------------------------------------


@app.command()
def issue(
    client_name: Client,
    *,
    prefix: Prefix = PREFIX,
    advanced: Advanced = False,
    as_json: AsJson = False,
) -> None:
    """Add a new key and print it; it is not shown again.

    The key is accepted after the next deployment: run `zama keys deploy`.
    """
    with errors_told(), client("ssm") as ssm:
        _issue(Keyring(ssm, EcsService(prefix).parameter(), advanced), client_name, as_json=as_json)
    notes.print(_NEXT)


@app.command(name="list")
def list_keys(
    *,
    prefix: Prefix = PREFIX,
    days: Annotated[
        int, typer.Option(min=0, help="Days of logs to search for the keys' use; 0: none.")
    ] = 30,
    as_json: AsJson = False,
) -> None:
    """List the keys with client, fingerprint, age, number of requests and last use.

    The last two come from the log; AWS charges for the data that the search scans.
    """
    with errors_told(), client("ssm") as ssm:
        ring = Keyring(ssm, EcsService(prefix).parameter())
        keys, (size, most) = ring.keys(), ring.room()
        uses = _uses(prefix, days) if days else {}
    rows = [_described(key, uses.get(key.fingerprint)) for key in keys]
    columns = ("client", "fingerprint", "issued", "days old", "requests", "last used")
    table = Table(*columns, caption=f"{size} of {most} bytes are used")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    show({"keys": rows, "bytes": size, "most_bytes": most}, table, as_json=as_json)


@app.command()
def rotate(  # noqa: PLR0913 - a command's options
    client_name: Client,
    *,
    retire: Annotated[
        bool | None,
        typer.Option("--retire/--keep", help="Revoke or keep the old keys, without asking."),
    ] = None,
    prefix: Prefix = PREFIX,
    connect_to: ConnectTo = None,
    advanced: Advanced = False,
    as_json: AsJson = False,
) -> None:
    """Issue a new key for a client, deploy it, test it, then offer to revoke the old keys.

    The service accepts old and new keys until you revoke the old ones, so that the client can
    switch at any time without losing a request.
    """
    with errors_told(), client("ssm") as ssm:
        service = EcsService(prefix)
        ring = Keyring(ssm, service.parameter(), advanced)
        old = _of(ring.keys(), client_name)
        new = _issue(ring, client_name, as_json=as_json)
        _deploy(service, connect_to)
        _prove(service, connect_to, [new], 200)
        prints = ", ".join(key.fingerprint for key in old)
        if retire is None:
            # Ask only in a terminal.
            retire = sys.stdin.isatty() and _offers_to_retire(old, _uses(prefix, days=1))
        if not retire:
            notes.print(
                f"Still accepted until you run `zama keys revoke {client_name} FINGERPRINT`:"
                f" {prints}"
            )
            return
        _revoke(service, ring, old, connect_to)


@app.command()
def revoke(
    client_name: Client,
    key_fingerprint: Annotated[
        str | None,
        typer.Argument(metavar="[FINGERPRINT]", help="One key; default: all of the client's keys."),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    prefix: Prefix = PREFIX,
    connect_to: ConnectTo = None,
) -> None:
    """Revoke a client's keys, deploy the change, and check that the keys are refused.

    Requests with a revoked key get 403; other clients are not affected. Undo it with
    `zama keys restore`.
    """
    with errors_told(), client("ssm") as ssm:
        service = EcsService(prefix)
        ring = Keyring(ssm, service.parameter())
        keys = _of(ring.keys(), client_name, key_fingerprint)
        prints = ", ".join(key.fingerprint for key in keys)
        if not yes:
            typer.confirm(f"Revoke {prints} of {client_name}?", abort=True, err=True)
        _revoke(service, ring, keys, connect_to)


@app.command()
def restore(
    client_name: Client,
    key_fingerprint: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="As `zama keys revoke` showed it.")
    ],
    *,
    prefix: Prefix = PREFIX,
) -> None:
    """Restore a client's revoked key from the parameter's history.

    The key is accepted after the next deployment: run `zama keys deploy`.
    """
    with errors_told(), client("ssm") as ssm:
        ring = Keyring(ssm, EcsService(prefix).parameter())
        (key,) = _of(ring.revoked(), client_name, key_fingerprint)
        ring.change(lambda keys: (*keys, key))
    notes.print(_NEXT)


@app.command()
def deploy(*, prefix: Prefix = PREFIX, connect_to: ConnectTo = None) -> None:
    """Replace the tasks, so that they read the current keys; no request is lost."""
    with errors_told():
        _deploy(EcsService(prefix), connect_to)


@app.command()
def whose(
    key: Annotated[str | None, typer.Argument(hidden=True)] = None,
    *,
    prefix: Prefix = PREFIX,
    as_json: AsJson = False,
) -> None:
    """Show which client a key belongs to; read the key from a prompt or standard input.

    A key as an argument would appear in process lists and in the shell's history. Exit code 1: no
    client has this key.
    """
    if key:
        notes.print(
            "zama: that key is now in the process list and the shell's history. Run `zama keys"
            " whose` without the key, or `zama keys whose <FILE`.",
            style="red",
        )
        raise typer.Exit(2)
    secret = (
        typer.prompt("Key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    ).strip()
    with errors_told(), client("ssm") as ssm:
        keys = Keyring(ssm, EcsService(prefix).parameter()).keys()
    match = next((key for key in keys if key.secret == secret), None)
    given = match or Key("", secret)
    if as_json:
        answer = {"client": given.client or None, "fingerprint": given.fingerprint}
        say_json({**answer, "issued": str(given.issued or "") or None})
    elif match:
        say(f"{match.client} {match.fingerprint}")
        notes.print(f"If the key leaked, run `zama keys rotate {match.client} --retire`.")
    if not match:
        notes.print(f"zama: {_why_nobodys(given)}", style="red")
        raise typer.Exit(1)


# --- Steps ----------------------------------------------------------------------------------------


def _issue(ring: Keyring, client_name: str, *, as_json: bool) -> Key:
    new = Key.issue(client_name)
    ring.change(lambda keys: (*keys, new))
    if as_json:
        answer = {"client": new.client, "fingerprint": new.fingerprint, "key": new.secret}
        say_json(answer)
    else:
        notes.print(f"New key of {new.client} ({new.fingerprint}), not shown again:")
        say(new.secret)
    size, most = ring.room()
    if size > _FULL * most:
        notes.print(f"The keys use {size} of {most} bytes.", style="yellow")
    return new


def _revoke(service: EcsService, ring: Keyring, keys: list[Key], connect_to: str | None) -> None:
    def without(before: tuple[Key, ...]) -> tuple[Key, ...]:
        after = tuple(key for key in before if key not in keys)
        if not after:
            raise CommandError(
                "No key would be left, and the gateway does not start without one. Issue another"
                f" key first, or run `zama keys rotate {keys[0].client} --retire`."
            )
        return after

    ring.change(without)
    _deploy(service, connect_to)
    _prove(service, connect_to, keys, 403)


def _deploy(service: EcsService, connect_to: str | None) -> None:
    with step(f"Deploying {service.prefix} with the current keys"):
        service.roll_out(connect_to=connect_to)


def _prove(service: EcsService, connect_to: str | None, keys: Iterable[Key], status: int) -> None:
    """Check through the load balancer that each key gets this status."""
    url = service.url()
    for key in keys:
        called = caller(url, key.secret, connect_to)
        with step(f"Expecting {status} from {url} with {key.fingerprint}"):
            try:
                for _ in range(_PROOFS):
                    expect(called, status, "POST", "/sum", SUM)
            except (BrokenError, NoAnswerError) as broken:
                raise CommandError(f"With {key.fingerprint}, {broken}.") from None


def _of(keys: Iterable[Key], client_name: str, wanted: str | None = None) -> list[Key]:
    """Return a client's keys, or only the one with the wanted fingerprint."""
    every = list(keys)
    theirs = [key for key in every if key.client == client_name]
    if not theirs:
        known = ", ".join(sorted({key.client for key in every})) or "none"
        raise CommandError(f"{client_name} has no such key. Clients that have one: {known}")
    chosen = [key for key in theirs if wanted in {None, key.fingerprint}]
    if not chosen:
        known = ", ".join(key.fingerprint for key in theirs)
        raise CommandError(f"{client_name} has no key {wanted}. It has: {known}")
    return chosen


def _offers_to_retire(old: Iterable[Key], uses: dict[str, dict[str, Any]]) -> bool:
    for key in old:
        used = uses.get(key.fingerprint, {"last_used": "not in the last day"})
        notes.print(f"{key.fingerprint}: last used {used['last_used']}")
    return typer.confirm("The new key works. Revoke the old keys?", err=True)


def _why_nobodys(key: Key) -> str:
    if key.issued:
        return f"this key of ours, {key.fingerprint}, was revoked"
    if key.has_our_form:
        return "this looks like a key of ours, but its checksum is wrong: was it copied completely?"
    return "no client has this key, and it does not have the format of our keys"


# --- Description ----------------------------------------------------------------------------------


def _described(key: Key, use: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "client": key.client,
        "fingerprint": key.fingerprint,
        "issued": str(key.issued) if key.issued else None,
        "days": key.age_days,
        **(use or {"requests": None, "last_used": None}),
    }


def _uses(prefix: str, days: int) -> dict[str, dict[str, Any]]:
    """Return each key's number of requests and last use, by fingerprint."""
    with step(f"Searching the log of the last {days} days"), client("logs") as aws:
        rows = ask(aws, questions(aws, prefix)["keys"], 24 * 60 * days)
    return {
        row["key"]: {"requests": int(row["requests"]), "last_used": _moment(row["last"])}
        for row in rows
    }


def _moment(text: str) -> str:
    """Return a time to the second; CloudWatch returns aggregated times in milliseconds."""
    if text.isdigit():
        text = datetime.fromtimestamp(int(text) / 1000, UTC).isoformat()
    return text[:19].replace("T", " ")
