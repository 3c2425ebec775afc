"""The proof of a workshop's box: in an empty folder, without a network, everything a participant types."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from companion.publishing.paths import UserError
from companion.publishing.running import provenance
from companion.publishing.workshop import readme, start

LOG = "proof.log"
#: A shell word list that runs the words after it where only the loopback device exists, which kernels need.
_UP = (
    "import fcntl, os, socket, struct, sys; "
    "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh22x', b'lo', 0x41)); "  # SIOCSIFFLAGS: up, running
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
_OFFLINE = ("unshare", "--net", "--map-root-user", sys.executable, "-c", _UP)
#: Free space the proof asks for, as a multiple of the packages: they are unpacked.
_UNPACKED = 2.5


def prove(out: Path, profile: str, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Install from the box `out` into an empty folder, run the sessions' commands, check the solutions.

    Returns what was found, None if a command failed; `out`/proof.log has everything that was said. The
    network is taken away where the system can do that (Linux, unshare); elsewhere only pip is kept from it.
    Raises UserError for a box that is not what its checksums say, and where there is no room.
    """
    if damaged := start.changed(out):
        raise UserError(
            f"{out}: {damaged[0]} is not what {start.SUMS} says; remove it and make the box again"
        )
    needed, free = _UNPACKED * readme.size(out / "wheels"), shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        raise UserError(
            f"the proof unpacks up to {readme.shown(needed)} in {tempfile.gettempdir()}, where "
            f"{readme.shown(free)} are free; name another folder: TMPDIR=FOLDER"
        )
    offline = list(_OFFLINE) if _works(_OFFLINE) else []
    network = (
        "the network taken away" if offline else "the network not taken away (no unshare here), only pip's"
    )
    with tempfile.TemporaryDirectory() as empty:
        folder, log = Path(empty) / "workshop", out / LOG
        log.write_text(f"{provenance.now()} {provenance.machine()}, {network}\n", "utf-8")
        run = _runner(folder / "companion", offline, log, say)
        seconds = run([*_starter(out), "--install", str(folder)], Path(empty))
        if seconds is None:
            return None
        found = {"when": provenance.now(), "network": network, "install_minutes": _minutes(seconds)}
        found["installed_bytes"] = readme.size(folder)
        clock = time.monotonic()
        if run(["companion", "run", "--profile", profile], expected="\n0 ran, ") is None:
            return None
        steps = typed((folder / "companion" / "book" / "teach.md").read_text("utf-8"))
        solved = sorted((out / "instructor").glob("*.ipynb"))
        steps += [["companion", "workshop", "check", str(path)] for path in solved]
        for step in steps:
            if isinstance(step, tuple):
                path, content = step
                (folder / "companion" / path).write_text(content, "utf-8")
            elif run(step) is None:
                return None
        found["commands"] = sum(isinstance(step, list) for step in steps)
        found["session_minutes"] = _minutes(time.monotonic() - clock)
    return found


def typed(page: str) -> list[list[str] | tuple[str, str]]:
    """What participants type, in the order of the page: commands as words, files as (name, content).

    Commands are lines of bash blocks that begin with `companion` or copy a profile; files are YAML blocks
    whose first line is their name. The section about the day before is the teacher's.
    """
    page = re.sub(r"^## The day before$.*?(?=^## )", "", page, flags=re.MULTILINE | re.DOTALL)
    steps: list[list[str] | tuple[str, str]] = []
    for kind, block in re.findall(r"^```(bash|yaml)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        if kind == "bash":
            lines = [shlex.split(line, comments=True) for line in block.splitlines()]
            steps += [words for words in lines if words[:1] == ["companion"] or words[:2] == ["cp", "-r"]]
        elif name := re.match(r"# (notebooks/profiles/\S+)\n", block):
            steps.append((name[1], block))
    return steps


def _works(words: Sequence[str]) -> bool:
    try:
        return not subprocess.run([*words, "true"], capture_output=True).returncode
    except OSError:
        return False


def _starter(out: Path) -> list[str]:
    """The words that start the box's own start script; Windows' waits for a key, so there what it starts."""
    return [sys.executable, str(out / "start.py")] if os.name == "nt" else ["sh", str(out / "start.sh")]


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 1)


def _runner(checkout: Path, offline: list[str], log: Path, say: Callable[[str], None]) -> Callable:
    """A function that runs one command as a participant does, with nothing of this user's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COMPANION_", "PIP_", "PYTHON"))}
    path = os.pathsep.join([str(checkout / ".venv" / start.BIN), kept.get("PATH", os.defpath)])
    home = str(checkout.parents[1])
    settings = {**kept, "PATH": path, "HOME": home, "PIP_NO_INDEX": "1", "PYTHON": sys.executable}

    def run(words: list[str], cwd: Path = checkout, expected: str = "") -> float | None:
        """Seconds it took; None if it failed or did not say what is expected."""
        clock = time.monotonic()
        with log.open("ab") as said:
            said.write(f"\n$ {shlex.join(words)}\n".encode())
            said.flush()
            before = said.tell()
            done = subprocess.run([*offline, *words], cwd=cwd, env=settings, stdout=said, stderr=said)
            right = done.returncode == 0 and expected.encode() in log.read_bytes()[before - 1 :]
            seconds = time.monotonic() - clock
            line = f"{shlex.join(words)}: {'done' if right else 'FAILED'} in {seconds:.0f} s"
            said.write(f"[{line}]\n".encode())
        say(line)
        return seconds if right else None

    return run
