"""Connections to the workers of a cluster."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from espnet3.parallel.worker_env import SetupFn

if TYPE_CHECKING:
    from distributed import Client


def connect(cluster: Any) -> Client:
    """Return a client of a cluster."""
    from distributed import Client

    return Client(cluster)


def register_env(client: Client, setup_fn: SetupFn) -> None:
    """Let ``setup_fn`` build the environment of all workers of a client, present and future."""
    from espnet3.parallel import worker_plugin

    worker_plugin.register_env(client, setup_fn)


def close_client(client: Any) -> None:
    """Close client and cluster; one that is closed or broken already is no error."""
    cluster = getattr(client, "cluster", None)
    for server in (client, cluster):
        stop = getattr(server, "close", None) or getattr(server, "shutdown", None)
        if stop is not None:
            with contextlib.suppress(Exception):
                stop()
