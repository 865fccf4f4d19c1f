"""The emulator's clock: AWS's minutes can be shorter here, so that hours of them fit in a test.

A speed of 60 makes a minute of AWS last a second. Periods, intervals and waits are divided by the
speed; thresholds and timestamps are not.
"""

import threading
import time
from collections import deque
from typing import Final

# As far back as an alarm can look.
_WEEK_MINUTES: Final = 7 * 24 * 60


class Clock:
    """A speed, and waits that follow it."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._changed = threading.Condition()

    def set(self, speed: float) -> None:
        """Change the speed, also of the waits that have begun."""
        if not 1 <= speed <= 600:
            raise ValueError("a speed is a number from 1 to 600")
        with self._changed:
            self.speed = speed
            self._changed.notify_all()

    def seconds(self, seconds: float) -> float:
        """Return how many seconds a duration of AWS lasts here."""
        return seconds / self.speed

    def wait(self, began: float, seconds: float) -> None:
        """Wait until `seconds` of AWS have passed since `began`, a `time.time()`."""
        with self._changed:
            while (left := began + self.seconds(seconds) - time.time()) > 0:
                self._changed.wait(left)


class Minutes:
    """The ends of the account's last minutes.

    They differ in length here: the speed changes, and on a busy machine a minute can be late.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=_WEEK_MINUTES)

    def end(self, moment: float) -> None:
        """End a minute at this `time.time()`."""
        self._ends.append(moment)

    def ago(self, number: int) -> float:
        """Return when the minute ended that is `number` minutes before the last one."""
        if number < len(self._ends):
            return self._ends[-1 - number]
        return self._ends[0] - self._clock.seconds(60) * (number + 1 - len(self._ends))


clock: Final = Clock()
