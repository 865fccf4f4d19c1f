"""The minutes of an account: metrics, alarms, rollbacks and scaling.

One thread waits most of the time. It ends with the emulator.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from ministack.core.responses import request_scope

from zama_emulator import ACCOUNT, REGION, alarms, heartbeats, rolling, scaling, traffic
from zama_emulator.clock import Clock, Minutes, clock
from zama_emulator.metrics import Meter, meter, store
from zama_emulator.probes import Probes
from zama_emulator.utilisation import Utilisation

# Route 53 publishes only there.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-cloudwatch.html
_GLOBAL_REGION: Final = "us-east-1"
_SAMPLES: Final = 6


class Life:
    """The account's minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minutes = Minutes(clock)
        self._ended = threading.Event()
        self._probes = Probes()
        self._utilisation = Utilisation()
        # Of AWS, since the start.
        self._seconds = 0

    def begin(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._live, daemon=True, name="zama-life").start()

    def end(self) -> None:
        """End the thread."""
        self._ended.set()
        self._probes.close()
        self._utilisation.close()

    def _live(self) -> None:
        self._minutes.end(time.time())
        while not self._ended.is_set():
            began = self._minutes.ago(0)
            for number in range(1, _SAMPLES + 1):
                self._clock.wait(began, 60 / _SAMPLES * number)
                self._seconds += 60 // _SAMPLES
                self._try(self._sample)
            # On a busy machine, a minute becomes longer rather than the next ones shorter.
            self._minutes.end(time.time())
            self._try(self._publish)

    def _sample(self) -> None:
        traffic.sample_hosts(meter)
        self._probes.ask(self._seconds)

    def _publish(self) -> None:
        # In the middle of the minute, so that rounding cannot move it into another.
        moment = (self._minutes.ago(1) + self._minutes.ago(0)) / 2
        self._utilisation.publish(meter)
        heartbeats.publish(meter)
        store(meter.take(), moment)
        ours = Meter()
        self._probes.publish(ours)
        with request_scope(ACCOUNT, _GLOBAL_REGION):
            store(ours.take(), moment)
            alarms.evaluate(self._minutes)
        alarms.evaluate(self._minutes)
        rolling.watch()
        scaling.scale(self._minutes, self._seconds)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            with request_scope(ACCOUNT, REGION):
                action()
        except Exception:
            logging.getLogger(__name__).exception("a minute of the account failed")


life: Final = Life(clock)
