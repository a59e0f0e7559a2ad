"""Start a packed demo in a process of its own and ask it once, through its own interface."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import espnet3
from espnet3.demo.app_builder import API_NAME
from espnet3.demo.setup import APP_FILE
from espnet3.demo.ui import require_gradio
from espnet3.errors import BundleError
from espnet3.utils.types import PathLike, Seconds

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_AUDIO_RATE = 16000
_LOG_TAIL = 2000
_MADE_UP: Mapping[str, Any] = {"Textbox": "hello", "Number": 1, "Slider": 0, "Checkbox": False}


def try_out(demo_dir: PathLike, *, time_limit: Seconds = 300) -> Any:
    """Run ``app.py`` of a packed demo, call its endpoint with made-up input, and stop it.

    Args:
        demo_dir: Folder of the demo.
        time_limit: Longest time for the start.

    Returns:
        What the endpoint answered.

    Raises:
        BundleError: If the demo does not start, or does not answer.
        MissingDependencyError: If Gradio is not installed.
    """
    require_gradio()
    folder = Path(demo_dir).resolve()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch, _serving(folder, Path(scratch)) as server:
        url = server.wait(time_limit)
        try:
            result = _ask(url, Path(scratch))
        except Exception as error:
            raise BundleError(
                f"the packed demo {folder} does not answer: {error}\n{server.read_log()}"
            ) from error
    logger.info("tried out %s in %.1f s: %s", folder, time.perf_counter() - start, result)
    return result


class _Server:
    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process = process
        self._port = port
        self._log = log

    def wait(self, time_limit: Seconds) -> str:
        """Return the address as soon as somebody listens there."""
        end = time.monotonic() + time_limit
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((_HOST, self._port), 1):
                return f"http://{_HOST}:{self._port}"
            time.sleep(0.1)
        state = "stopped" if self._process.poll() is not None else f"took over {time_limit:.0f} s"
        raise BundleError(f"the packed demo does not start: {APP_FILE} {state}\n{self.read_log()}")

    def read_log(self) -> str:
        """Return the end of what the program wrote."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:].strip()


@contextlib.contextmanager
def _serving(folder: Path, scratch: Path) -> Iterator[_Server]:
    port, log = _free_port(), scratch / "app.log"
    library = str(Path(espnet3.__file__).parents[1])
    environment = {
        **os.environ,
        "GRADIO_SERVER_NAME": _HOST,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONPATH": os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH")])),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, str(folder / APP_FILE)],
            cwd=scratch,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _Server(process, port, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ask(url: str, scratch: Path) -> Any:
    import gradio_client

    client = gradio_client.Client(url, verbose=False, analytics_enabled=False)
    try:
        endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
        parameters = endpoints[f"/{API_NAME}"]["parameters"]
        values = [_make_up(parameter, scratch) for parameter in parameters]
        return client.predict(*values, api_name=f"/{API_NAME}")
    finally:
        client.close()


def _make_up(parameter: Mapping[str, Any], scratch: Path) -> Any:
    """Return a value for one input of the page; an input with a value of its own keeps it."""
    import gradio_client

    kind = parameter["component"]
    if kind in ("Audio", "File"):
        return gradio_client.handle_file(str(_write_noise(scratch)))
    if parameter.get("parameter_has_default") and parameter.get("parameter_default") is not None:
        return parameter["parameter_default"]
    choices = (parameter.get("type") or {}).get("enum")
    return choices[0] if choices else _MADE_UP.get(kind)


def _write_noise(scratch: Path) -> Path:
    import numpy as np
    import soundfile

    path = scratch / "noise.wav"
    samples = np.random.default_rng(0).normal(0, 0.05, _AUDIO_RATE).astype(np.float32)
    soundfile.write(path, samples, _AUDIO_RATE)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
