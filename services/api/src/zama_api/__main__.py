"""`python -m zama_api`: run the service with settings from the environment."""

import os
import signal

# The imports take most of the start: seconds on a quarter of a core with a cold disk. Process 1 of
# a container ignores signals without a handler, so a stop during the imports would be lost.
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: os._exit(0))

from zama_api.service import main  # noqa: E402 - after the handlers

# Skip the interpreter's cleanup, which costs CPU time that a small task does not have. The log is
# written, and the kernel frees the memory.
os._exit(main())
