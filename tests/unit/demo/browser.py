"""Chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
_LARGE = 64 * 2**20


def find_chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab; every call waits for its answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: WebSocketClientConnection) -> None:
        self._loop = loop
        self._socket = socket
        self._count = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        request = {"id": self._count, "method": method, "params": parameters}
        return self._loop.run_until_complete(asyncio.wait_for(self._exchange(request), 60))

    async def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._socket.write_message(json.dumps(request))
        while True:
            message = await self._socket.read_message()
            assert message is not None, "the browser has gone"
            answer = json.loads(message)
            if answer.get("id") == request["id"]:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 60) -> Any:
        """Return the value of an expression as soon as it counts as true."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < end, f"{expression} is {value!r} after {seconds} s"
            time.sleep(0.1)
        return value

    def open(self, url: str, *, width: int, height: int, is_mobile: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=is_mobile,
        )
        self.call("Page.navigate", url=url)
        self.wait_for("document.querySelector('#run') !== null")

    def choose_file(self, selector: str, path: Path) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert node, f"there is no {selector}"
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def save_picture(self, path: Path) -> None:
        """Write what is on the page, down to its end, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))


@contextlib.contextmanager
def open_page(profile: Path):
    """Start Chromium and yield a tab; ``profile`` is its folder."""
    program = find_chromium()
    assert program is not None
    profile.mkdir(parents=True, exist_ok=True)
    switches = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={profile}",
    ]  # fmt: skip
    with (profile / "log").open("wb") as log:
        process = subprocess.Popen([program, *switches, "about:blank"], stdout=log, stderr=log)
    try:
        yield _connect(profile, process)
    finally:
        process.terminate()
        process.wait(30)


def _connect(profile: Path, process: subprocess.Popen[bytes]) -> Page:
    file = profile / "DevToolsActivePort"
    end = time.monotonic() + 60
    while not (file.is_file() and file.read_text().strip()):
        assert process.poll() is None and time.monotonic() < end, (profile / "log").read_text()
        time.sleep(0.1)
    port = file.read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
    loop = asyncio.new_event_loop()
    address = tabs[0]["webSocketDebuggerUrl"]

    async def connect() -> WebSocketClientConnection:
        return await websocket_connect(address, max_message_size=_LARGE)

    page = Page(loop, loop.run_until_complete(connect()))
    page.call("Page.enable")
    return page
