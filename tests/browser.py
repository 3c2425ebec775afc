"""A headless browser for the pages' scripts: what a reader's own makes of a file, with the network off."""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason=f"needs a browser: {', '.join(BROWSERS)}")

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
)


def evaluated(body: str, script: str, folder: Path) -> tuple[object, list[str]]:
    """What `script` leaves in `result` on a page of this body opened from its file, and the console's lines.

    The script runs after those of the body; it has no network and may not wait.
    """
    page = folder / "page.html"
    last = "document.body.innerHTML = '<pre></pre>'; document.querySelector('pre').textContent ="
    page.write_text(
        f"<!doctype html><meta charset=utf-8><title>page</title><body>{body}"
        f"<script>let result;\n{script}\n{last} JSON.stringify(result);</script>",
        "utf-8",
    )
    command = [BROWSER, *QUIET, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    answer = BeautifulSoup(done.stdout, "html.parser").pre
    assert answer is not None, f"the script did not end: {console}"
    return json.loads(answer.text), console


class Page:
    """A page that is open in the browser, driven over DevTools' protocol."""

    def __init__(self, socket):
        self._socket, self._sent = socket, 0

    def call(self, method: str, **parameters: object) -> dict:
        """What DevTools answers; nothing where it refuses, as while one page gives way to the next."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != self._sent:
            pass  # an event
        return answer.get("result", {})

    def value(self, script: str) -> object:
        """The value of an expression in the page; None where it raises."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return found.get("result", {}).get("value")

    def wait(self, script: str, seconds: float = 60) -> object:
        """The value of an expression once it is true. Raises AssertionError where it stays false."""
        return wait(lambda: self.value(script), script, seconds)

    def press(self, key: str) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)


def wait(found: Callable[[], object], what: str, seconds: float = 60) -> object:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not after {seconds:g} s: {what}")


@contextlib.contextmanager
def opened(address: str, folder: Path) -> Iterator[Page]:
    """A page of this machine, open in the browser."""
    import websocket

    profile = folder / "profile"
    here = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    command = [BROWSER, *QUIET, here, "--remote-debugging-port=0", f"--user-data-dir={profile}", address]
    with (folder / "browser.log").open("w") as log, subprocess.Popen(command, stderr=log) as browser:
        try:
            port = profile / "DevToolsActivePort"  # written once it listens
            wait(lambda: port.is_file() and len(port.read_text().splitlines()) == 2, "the browser")
            with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text().split()[0]}/json/list") as found:
                (page,) = [target for target in json.load(found) if target["type"] == "page"]
            with contextlib.closing(
                websocket.create_connection(page["webSocketDebuggerUrl"], timeout=60, suppress_origin=True)
            ) as socket:
                yield Page(socket)
        finally:
            browser.terminate()
