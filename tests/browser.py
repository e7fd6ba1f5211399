"""A headless Chromium, spoken to over a pipe in the Chrome DevTools protocol; no driver, no port."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

# The browser reads commands from descriptor 3 and answers on 4; each message ends with a zero byte.
LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")


def find_browser() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page of one browser; every event that the page raised is kept."""

    def __init__(self, program: str, profile: Path) -> None:
        (command_r, command_w), (answer_r, answer_w) = os.pipe(), os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (command_r, answer_w)]
        launch = [sys.executable, "-c", LAUNCH, *map(str, high), program, *FLAGS, f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(launch, pass_fds=high, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for fd in (command_r, answer_w, *high):
            os.close(fd)
        self._write, self._read = os.fdopen(command_w, "wb"), os.fdopen(answer_r, "rb")
        self._buffer, self._n, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command; events that come before it are kept."""
        self._n += 1
        message = {"id": self._n, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while (answer := self._receive()).get("id") != self._n:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._read.fileno(), 1 << 16)
            if not chunk:
                raise RuntimeError("the browser ended")
            self._buffer += chunk
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        return message

    def open(self, path: Path, *, width: int = 1300, is_dark: bool = False, query: str = "") -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]
        self.send("Emulation.setEmulatedMedia", media="screen", features=scheme)
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        self.events.clear()
        self.send("Page.navigate", url=path.as_uri() + query)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def run(self, script: str) -> Any:
        """Value of an expression in the page; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def screenshot(self, path: Path) -> None:
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def list_problems(self) -> list[str]:
        """Console errors, exceptions, entries of the browser's log, and requests for anything but the file itself."""
        found = []
        for event in self.events:
            method, params = event["method"], event["params"]
            is_error = method == "Runtime.consoleAPICalled" and params["type"] == "error"
            if is_error or method in ("Runtime.exceptionThrown", "Log.entryAdded"):
                found.append(json.dumps(params))
            url = params.get("request", {}).get("url", "") if method == "Network.requestWillBeSent" else ""
            if url and not url.startswith(("file:", "data:")):
                found.append(f"requested {url}")
        return found

    def close(self) -> None:
        self.send("Browser.close")
        self._process.wait(timeout=20)
        self._write.close()
        self._read.close()
