"""A headless browser for the pages' scripts: what a reader's own makes of a file, with the network off."""

import json
import shutil
import subprocess
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
