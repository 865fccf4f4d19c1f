"""`python -m zama_api`: run the service with the settings of the environment."""

import os
import signal

# The imports take most of the start: seconds on a quarter of a core with a cold disk. The first
# process of a container gets no signal that it does not handle, so a stop would be lost meanwhile.
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: os._exit(0))

from zama_api.service import main  # noqa: E402 - after the handlers

# Python's own exit takes the interpreter apart object by object, which needs CPU time that a small
# task does not have. Nothing is left to do: the log is written, and the kernel frees the rest.
os._exit(main())
