"""`zama keys`: the life of an API key, from its issue until it is refused."""

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from zama_ops.aws import client
from zama_ops.console import errors_told, notes, step
from zama_ops.contract_checks import SUM, BrokenError, caller, expect
from zama_ops.ecs_service import EcsService
from zama_ops.errors import CommandError
from zama_ops.http_client import NoAnswerError
from zama_ops.keyring import Key, Keyring, fingerprint, has_our_form, issued
from zama_ops.logs_insights import ask, questions
from zama_ops.options import PREFIX, AsJson, ConnectTo, Prefix

# More than one for each of some tasks, as the load balancer takes them in turn.
_PROOFS: Final = 6
_FULL: Final = 0.8
_NEXT: Final = "It is accepted after the next deployment: `zama keys deploy`."

app: Final = typer.Typer(
    help="Issue, list, rotate and revoke API keys. They are all in one SSM parameter, which a task"
    " reads when it starts: what is changed there counts after the next deployment.",
    no_args_is_help=True,
)

Client = Annotated[str, typer.Argument(metavar="CLIENT", help="Whose key; as the logs name it.")]
Advanced = Annotated[
    bool, typer.Option("--advanced", help="Pay for 8 KiB of keys where 4 KiB are not enough.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


# --- Commands -------------------------------------------------------------------------------------


@app.command()
def issue(
    client_name: Client,
    *,
    prefix: Prefix = PREFIX,
    advanced: Advanced = False,
    as_json: AsJson = False,
) -> None:
    """Write a new key beside those that there are, and print it this once.

    It is accepted after the next deployment: `zama keys deploy`.
    """
    with errors_told(), client("ssm") as ssm:
        _issue(Keyring(ssm, EcsService(prefix).parameter(), advanced), client_name, as_json=as_json)
    notes.print(_NEXT)


@app.command(name="list")
def list_keys(
    *,
    prefix: Prefix = PREFIX,
    days: Annotated[
        int, typer.Option(min=0, help="How far to look for a key's last use; 0: not at all.")
    ] = 30,
    as_json: AsJson = False,
) -> None:
    """List the keys: client, fingerprint, age, and from the log how often and when last used.

    The log is searched for it, which AWS charges by what it reads.
    """
    with errors_told(), client("ssm") as ssm:
        ring = Keyring(ssm, EcsService(prefix).parameter())
        keys, (size, most) = ring.keys(), ring.room()
        uses = _uses(prefix, days) if days else {}
    rows = [_described(key, uses.get(key.fingerprint)) for key in keys]
    if as_json:
        typer.echo(json.dumps({"keys": rows, "bytes": size, "most_bytes": most}, indent=2))
        return
    columns = ("client", "fingerprint", "issued", "days old", "requests", "last used")
    table = Table(*columns, caption=f"{size} of {most} bytes are taken")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table)


@app.command()
def rotate(  # noqa: PLR0913 - a command's options
    client_name: Client,
    *,
    retire: Annotated[
        bool | None,
        typer.Option("--retire/--keep", help="Revoke the old keys without asking, or do not."),
    ] = None,
    prefix: Prefix = PREFIX,
    connect_to: ConnectTo = None,
    advanced: Advanced = False,
    as_json: AsJson = False,
) -> None:
    """Issue another key for a client, deploy and prove it, then offer to revoke the old ones.

    Until they are revoked, old and new keys are accepted alike, so that the client can change over
    when it likes. No request is lost by it.
    """
    with errors_told(), client("ssm") as ssm:
        service = EcsService(prefix)
        ring = Keyring(ssm, service.parameter(), advanced)
        old = _of(ring.keys(), client_name)
        new = _issue(ring, client_name, as_json=as_json)
        _deploy(service)
        _prove(service, connect_to, [new], 200)
        prints = ", ".join(key.fingerprint for key in old)
        if retire is None:
            # A pipe cannot be asked.
            retire = sys.stdin.isatty() and _offers_to_retire(old, _uses(prefix, days=1))
        if not retire:
            notes.print(
                f"Still accepted, until `zama keys revoke {client_name}` names it: {prints}"
            )
            return
        _revoke(service, ring, old, connect_to)


@app.command()
def revoke(
    client_name: Client,
    key_fingerprint: Annotated[
        str | None,
        typer.Argument(metavar="[FINGERPRINT]", help="Which; without, all of the client's."),
    ] = None,
    *,
    yes: Yes = False,
    prefix: Prefix = PREFIX,
    connect_to: ConnectTo = None,
) -> None:
    """Take a client's keys away, deploy that, and see that they are refused.

    Whoever still uses one gets 403, and nobody else notices. `zama keys restore` undoes it.
    """
    with errors_told(), client("ssm") as ssm:
        service = EcsService(prefix)
        ring = Keyring(ssm, service.parameter())
        keys = _of(ring.keys(), client_name, key_fingerprint)
        prints = ", ".join(key.fingerprint for key in keys)
        if not yes:
            typer.confirm(f"Refuse {prints} of {client_name} from now on?", abort=True, err=True)
        _revoke(service, ring, keys, connect_to)


@app.command()
def restore(
    client_name: Client,
    key_fingerprint: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="As `zama keys revoke` named it.")
    ],
    *,
    prefix: Prefix = PREFIX,
) -> None:
    """Give a client back a key that was revoked, from the parameter's history.

    It is accepted after the next deployment: `zama keys deploy`.
    """
    with errors_told(), client("ssm") as ssm:
        ring = Keyring(ssm, EcsService(prefix).parameter())
        (key,) = _of(ring.revoked(), client_name, key_fingerprint)
        ring.change(lambda keys: (*keys, key))
    notes.print(_NEXT)


@app.command()
def deploy(*, prefix: Prefix = PREFIX) -> None:
    """Replace the tasks one after the other, so that they read the keys; no request is lost."""
    with errors_told():
        _deploy(EcsService(prefix))


@app.command()
def whose(
    key: Annotated[str | None, typer.Argument(hidden=True)] = None,
    *,
    prefix: Prefix = PREFIX,
    as_json: AsJson = False,
) -> None:
    """Say whose key this is; it is asked for, or read from standard input.

    Not from an argument, which the list of processes and the shell's history would show. Exit code
    1: it is nobody's.
    """
    if key:
        notes.print(
            "zama: the list of processes and the shell's history have that key now. `zama keys"
            " whose` alone asks for it, or `zama keys whose <FILE` reads it.",
            style="red",
        )
        raise typer.Exit(2)
    secret = (
        typer.prompt("Key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    ).strip()
    with errors_told(), client("ssm") as ssm:
        keys = Keyring(ssm, EcsService(prefix).parameter()).keys()
    match = next((key for key in keys if key.secret == secret), None)
    if as_json:
        answer = {"client": match and match.client, "fingerprint": fingerprint(secret)}
        typer.echo(json.dumps({**answer, "issued": str(issued(secret) or "") or None}, indent=2))
    elif match:
        typer.echo(f"{match.client} {match.fingerprint}")
        notes.print(f"If it is in a wrong hand: `zama keys rotate {match.client} --retire`")
    if not match:
        notes.print(f"zama: {_why_nobodys(secret)}", style="red")
        raise typer.Exit(1)


# --- Steps ----------------------------------------------------------------------------------------


def _issue(ring: Keyring, client_name: str, *, as_json: bool) -> Key:
    """Write a new key and print it."""
    new = Key.issue(client_name)
    ring.change(lambda keys: (*keys, new))
    if as_json:
        answer = {"client": new.client, "fingerprint": new.fingerprint, "key": new.secret}
        typer.echo(json.dumps(answer, indent=2))
    else:
        notes.print(f"The key of {new.client}, {new.fingerprint}; it is not shown again:")
        typer.echo(new.secret)
    size, most = ring.room()
    if size > _FULL * most:
        notes.print(f"{size} of {most} bytes for keys are taken.", style="yellow")
    return new


def _revoke(service: EcsService, ring: Keyring, keys: list[Key], connect_to: str | None) -> None:
    """Take keys away and see that they are refused."""

    def without(before: tuple[Key, ...]) -> tuple[Key, ...]:
        after = tuple(key for key in before if key not in keys)
        if not after:
            raise CommandError(
                "No key would be left, and without one the gateway does not start: issue another"
                f" first, or `zama keys rotate {keys[0].client} --retire`."
            )
        return after

    ring.change(without)
    _deploy(service)
    _prove(service, connect_to, keys, 403)


def _deploy(service: EcsService) -> None:
    with step(f"Deploying {service.prefix} with the keys as they are"):
        service.roll_out()


def _prove(service: EcsService, connect_to: str | None, keys: Iterable[Key], status: int) -> None:
    """See through the load balancer that these keys are accepted, or refused.

    Raises:
        CommandError: one is not.

    """
    url = service.url()
    for key in keys:
        called = caller(url, key.secret, connect_to)
        with step(f"Asking {url} with {key.fingerprint}: {status}"):
            try:
                for _ in range(_PROOFS):
                    expect(called, status, "POST", "/sum", SUM)
            except (BrokenError, NoAnswerError) as broken:
                raise CommandError(f"With {key.fingerprint}, {broken}.") from None


def _of(keys: Iterable[Key], client_name: str, wanted: str | None = None) -> list[Key]:
    """Return a client's keys, or the one with this fingerprint.

    Raises:
        CommandError: there is none.

    """
    every = list(keys)
    theirs = [key for key in every if key.client == client_name]
    if not theirs:
        known = ", ".join(sorted({key.client for key in every})) or "nobody"
        raise CommandError(f"{client_name} has no such key. Who has: {known}")
    chosen = [key for key in theirs if wanted in {None, key.fingerprint}]
    if not chosen:
        known = ", ".join(key.fingerprint for key in theirs)
        raise CommandError(f"{client_name} has no such key as {wanted}. It has: {known}")
    return chosen


def _offers_to_retire(old: Iterable[Key], uses: dict[str, dict[str, Any]]) -> bool:
    for key in old:
        used = uses.get(key.fingerprint, {"last_used": "not within a day"})
        notes.print(f"{key.fingerprint} was used last: {used['last_used']}")
    return typer.confirm("Revoke it, now that the new one works?", err=True)


def _why_nobodys(secret: str) -> str:
    if issued(secret):
        return f"nobody's now: a key of ours, {fingerprint(secret)}, which was revoked"
    if has_our_form(secret):
        return "nobody's: a key of ours, but not copied right, by its checksum"
    return "nobody's, and not of the form of our keys"


# --- What is told of them -------------------------------------------------------------------------


def _described(key: Key, use: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "client": key.client,
        "fingerprint": key.fingerprint,
        "issued": str(key.issued) if key.issued else None,
        "days": key.age_days,
        **(use or {"requests": None, "last_used": None}),
    }


def _uses(prefix: str, days: int) -> dict[str, dict[str, Any]]:
    """Return how often and when last each key was used, by its fingerprint."""
    with step(f"Asking the log of the last {days} days"), client("logs") as aws:
        rows = ask(aws, questions(aws, prefix)["keys"], 24 * 60 * days)
    return {
        row["key"]: {"requests": int(row["requests"]), "last_used": _moment(row["last"])}
        for row in rows
    }


def _moment(text: str) -> str:
    """Return a moment to the second; CloudWatch gives an aggregate's in milliseconds."""
    if text.isdigit():
        text = datetime.fromtimestamp(int(text) / 1000, UTC).isoformat()
    return text[:19].replace("T", " ")
