"""The Dask worker plugins that equip a worker process. Import it only when Dask is used."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from distributed import Client, Worker, WorkerPlugin

from espnet3.errors import ParallelError
from espnet3.parallel.transport import pack
from espnet3.parallel.worker_env import WORKER_VARIABLE, Context, LazyEnv, SetupFn, check_env

PLUGIN_NAME = "espnet3-env"


class DictReturnWorkerPlugin(WorkerPlugin):
    """Build the environment of a worker when it starts.

    The dict is kept in ``worker.plugins["env"]``, and the worker's id in the environment variable
    ``DASK_WORKER_ID``.

    Args:
        setup_fn: Returns the environment.
    """

    name = "espnet3-env-dict"

    def __init__(self, setup_fn: SetupFn) -> None:
        self.setup_fn = setup_fn

    def setup(self, worker: Any) -> None:
        """Build the environment.

        Raises:
            ValueError: If ``setup_fn`` does not return a dict.
        """
        worker.plugins["env"] = check_env(self.setup_fn())
        os.environ["DASK_WORKER_ID"] = str(worker.id)


class LazyEnvPlugin(WorkerPlugin):
    """Keep what builds the environment, for the first task that needs it.

    Loading a model in a task instead of in ``setup`` leaves the worker responsive, and an error
    becomes that of the task instead of a worker that never arrives.
    """

    name = PLUGIN_NAME

    def __init__(self, setup_fn: SetupFn) -> None:
        # Text of code may name modules of the recipe: a worker must know the paths before it reads.
        self._payload = pack(setup_fn, "the setup function")
        self._context = Context.of_this_process()

    def setup(self, worker: Worker) -> None:
        """Forget the environment of an earlier registration."""
        os.environ |= {"DASK_WORKER_ID": str(worker.id), WORKER_VARIABLE: str(worker.name)}
        # Ctrl-C reaches all processes of a terminal; it is for the driver, which ends its workers.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        worker.plugins.pop("env", None)
        self.env = LazyEnv(self._payload, self._context)


def register_env(client: Client, setup_fn: SetupFn) -> None:
    """Let ``setup_fn`` build the environment of all workers, present and future.

    Raises:
        ParallelError: If this release of Dask cannot register plugins.
    """
    plugin = LazyEnvPlugin(setup_fn)
    for method in ("register_worker_plugin", "register_plugin"):
        register = getattr(client, method, None)
        if register is not None:
            try:
                register(plugin, name=PLUGIN_NAME)
            except Exception as error:
                error.add_note("every host of a worker needs the espnet3 of this environment")
                raise
            return
    raise ParallelError(
        "this release of Dask cannot register worker plugins\n"
        '  upgrade it with: pip install --upgrade "dask[distributed]"'
    )
