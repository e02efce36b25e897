"""Controls a headless Chromium over a pipe, with the DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS: Final = 60
# The events that report an error, a warning or a message of the page.
COMPLAINTS: Final = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}


class Browser:
    """One tab of the browser."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._waiting = b""
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self._loaded = 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def open(self, url: str, *, width: int, height: int = 1200, dark: bool = False) -> Self:
        """Load a page in a window of this size in pixels, with light or dark colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        before = self._loaded
        self.call("Page.navigate", url=url)
        while self._loaded == before:
            self._hear()
        return self

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    def until(self, expression: str, wanted: Any) -> None:
        """Wait until a JavaScript expression has the value `wanted`."""
        deadline = time.monotonic() + SECONDS
        while (found := self.value(expression)) != wanted:
            assert time.monotonic() < deadline, f"{expression} is {found!r}, not {wanted!r}"
            time.sleep(0.2)

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page to a PNG file."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                result: dict[str, Any] = heard["result"]
                return result

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            part = os.read(self._read, 1 << 20)
            assert part, "Chromium has ended"
            self._waiting += part
        message, _, self._waiting = self._waiting.partition(b"\0")
        heard: dict[str, Any] = json.loads(message)
        if heard.get("method") in COMPLAINTS:
            self.complaints.append(json.dumps(heard["params"]))
        self._loaded += heard.get("method") == "Page.loadEventFired"
        return heard


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run Chromium with its profile in `folder`, until the `with` block ends."""
    assert CHROMIUM
    to_browser, write = os.pipe()
    read, from_browser = os.pipe()
    arguments = (
        "--headless=new --no-sandbox --disable-gpu --hide-scrollbars --remote-debugging-pipe "
        f"--no-first-run --disable-background-networking --user-data-dir={folder}"
    )
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$0" {arguments} 3<&{to_browser} 4>&{from_browser}', CHROMIUM],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Browser(write, read)
    finally:
        os.close(write)
        os.close(read)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
