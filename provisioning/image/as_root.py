"""A build's root: root itself, or whoever may be root in a namespace of his own, whose files belong to ids of his."""

import os
import sys

from provisioning.stock_programs import NotRootError, finish

# As many ids as /etc/subuid and /etc/subgid give him: subuid(5), unshare(1).
_NAMESPACE = ("unshare", "--user", "--map-root-user", "--map-auto")


def go_on_as_root() -> None:
    """Return where this process is root; else start its program anew as the root of a namespace.

    Raises NotRootError where this computer lets this person have none.
    """
    if os.geteuid() == 0:
        return
    tried = finish([*_NAMESPACE, "true"])
    if tried.code:
        raise NotRootError(
            f"The image's files belong to root, and you can have no root of your own here ({tried.reason}): install "
            "uidmap and have lines in /etc/subuid and /etc/subgid, or run it as root."
        )
    os.execvp(_NAMESPACE[0], [*_NAMESPACE, *sys.orig_argv])  # noqa: S606 – no shell has a part in it
