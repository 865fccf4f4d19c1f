"""Assembles and runs the service, from the settings to the exit code."""

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
    """Serve until a signal; exit code 0: stopped, 1: cannot listen, 2: invalid settings."""
    try:
        settings = config.load(os.environ)
    except config.SettingsError as error:
        print(f"zama-api: {error}", file=sys.stderr)
        return 2
    _schedule_as_batch()
    # WSGI passes the whole environment to every request, which costs time and exposes the keys.
    os.environ.clear()

    health = Health(settings.ready_delay_seconds)
    log = Log(settings.log_level)
    metrics = Metrics(settings.version)
    journal = Journal(log if settings.access_log else None, metrics)
    application = Application(settings, health, log, metrics, journal)
    server = Server(settings, application, health, log)
    if settings.require_api_key and config.EXAMPLE_KEY in settings.api_keys:
        # The same text as in services/nginx/entrypoint.
        log.event(
            "warning",
            "example key in use",
            message="The example key is public: set API_KEY to a key of 16 characters or more.",
        )
    # From now on the server waits for these signals. Threads inherit the mask.
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
    """Use the batch scheduling policy (sched(7)), under which a wake-up does not preempt.

    The gateway shares the core. With the default policy, each request that it passes on would
    interrupt it, at two context switches per request. With this policy several requests gather
    before the API answers them all. Threads inherit the policy.
    """
    # AttributeError: not on Linux. OSError: a sandbox forbids it.
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
