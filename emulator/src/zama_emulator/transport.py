"""Sends each answer in one piece.

Both servers send an answer's head and body separately. Terraform's AWS provider sometimes receives
the head alone, closes the connection and retries (seen with 5.100.0, for one request in a hundred).
The retry fails because the first request has already created the resource.
"""

from typing import Any

import h11
from hypercorn.events import RawData

from zama_emulator.patching import Original


async def head_with_body(_original: Original, protocol: Any, event: Any) -> None:
    try:
        data = protocol.connection.send(event)
    except h11.LocalProtocolError:
        # Like the original: a client that sent nonsense gets no further answer.
        if protocol.connection.their_state is not h11.ERROR:
            raise
        return
    if isinstance(event, h11.Response):
        protocol.head = data
    else:
        await protocol.send(RawData(data=protocol.__dict__.pop("head", b"") + data))
