"""The whole service: its parts put together, from the settings to the exit code."""

import contextlib
import os
import signal
import sys

from zama_api import config
from zama_api.app import Application
from zama_api.health import Health
from zama_api.journal import Journal
from zama_api.logs import Log
from zama_api.metrics import Metrics
from zama_api.server import STOP_SIGNALS, Server


def main() -> int:
    """Serve until told to stop; the exit code is 0 then, and 2 for settings that cannot be used."""
    try:
        settings = config.load(os.environ)
    except config.SettingsError as error:
        print(f"zama-api: {error}", file=sys.stderr)
        return 2
    _schedule_as_batch()
    # WSGI hands the whole environment to every request: that costs time and shows the keys.
    os.environ.clear()

    health = Health(settings.ready_delay_seconds)
    log = Log(settings.log_level)
    metrics = Metrics(settings.version)
    journal = Journal(log if settings.access_log else None, metrics)
    application = Application(settings, health, log, metrics, journal)
    server = Server(settings, application, health, log)
    if settings.require_api_key and config.EXAMPLE_KEY in settings.api_keys:
        # Worded as by the gateway: services/nginx/entrypoint.
        log.event(
            "warning",
            "example key in use",
            message="Everybody knows it: set API_KEY to a key of 16 characters or more.",
        )
    # From here on the server waits for them. Threads inherit the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    journal.start()
    try:
        server.run()
    except OSError as error:
        print(
            f"zama-api: cannot listen on {settings.host}:{settings.port}: {error}", file=sys.stderr
        )
        return 1
    finally:
        journal.close()
    log.event("info", "stopped")
    return 0


def _schedule_as_batch() -> None:
    """Run as a batch job (sched(7)), which wakes up without taking the core from another.

    The gateway shares the core. Else each request that it passes on would interrupt it before it
    has read the next, with two switches for each; so the API finds several, and answers them all.
    Threads inherit this.
    """
    # AttributeError: not on Linux. OSError: a sandbox does not let it.
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
