"""Who wants to hear of which socket in the forwarder's one loop: asked for anew after each change."""

import selectors
import socket
from collections.abc import Callable

Moved = Callable[[int], None]  # told selectors.EVENT_READ, EVENT_WRITE or both


def watch(selector: selectors.BaseSelector, end: socket.socket, events: int, moved: Moved) -> None:
    """Have `moved` called when one of `events` comes at `end`; without any the selector forgets it."""
    if end not in selector.get_map():
        if events:
            selector.register(end, events, moved)
    elif events:
        selector.modify(end, events, moved)
    else:
        selector.unregister(end)


def close(selector: selectors.BaseSelector, end: socket.socket) -> None:
    """Close a socket, and have the selector forget it; harmless when it is closed already."""
    if end.fileno() >= 0 and end in selector.get_map():
        selector.unregister(end)
    end.close()
