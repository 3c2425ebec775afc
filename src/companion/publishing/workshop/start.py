"""What a participant starts in a workshop's box: it installs without a network and opens the exercises.

A copy of this file lies in every box, so it imports the standard library alone. The start scripts call it.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path

SUMS = "SHA256SUMS"
#: What a participant gets a copy of.
COPIED = ("companion", "student", "book")
#: Where an environment has its programs.
BIN = "Scripts" if os.name == "nt" else "bin"


def main(arguments=None):
    """Install the workshop into a folder, then open JupyterLab on its exercises; what is there is kept."""
    parser = argparse.ArgumentParser(prog="start", description=main.__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path.home() / "companion-workshop")
    parser.add_argument("--install", action="store_true", help="install, and open nothing")
    given = parser.parse_args(arguments)
    box, folder = Path(__file__).resolve().parent, given.folder.resolve()
    try:
        if damaged := changed(box, tuple(f"{name}/" for name in COPIED)):
            raise OSError(f"this copy of the box is damaged ({', '.join(damaged[:3])}): copy it again")
        install(box, folder)
    except OSError as error:
        sys.exit(f"start: {error}")
    except KeyboardInterrupt:
        sys.exit("start: interrupted; start again to go on from here")
    except subprocess.CalledProcessError:
        sys.exit("start: not installed, see the messages above; start again to go on from here")
    scripts, student = folder / "companion" / ".venv" / BIN, folder / "student"
    print(f"\nThe exercises:  {student}\nThe pages:      {folder / 'book' / 'index.html'}")
    print(f"In a terminal:  cd {folder / 'companion'}, then {_activate()}")
    if not given.install:
        webbrowser.open((folder / "book" / "index.html").as_uri())
        own = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}  # the environment's kernel before the user's
        sys.exit(subprocess.call([str(scripts / "jupyter"), "lab", str(student)], env=own))


def changed(box, within=""):
    """The files of a box that are not what its list of checksums says, or are not there, by name.

    within: the beginning, or a tuple of beginnings, of the names that are looked at.
    """
    lines = (box / SUMS).read_text("utf-8").splitlines()
    listed = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
    looked_at = [name for name in listed if name.startswith(within)]
    return [name for name in looked_at if not (box / name).is_file() or digest(box / name) != listed[name]]


def digest(path):
    """SHA-256 of a file, as hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def install(box, folder):
    """Copy checkout, exercises and pages into `folder`, and install the packages from the box's wheels.

    Raises CalledProcessError when pip fails, OSError for anything about files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkout = folder / "companion"
    for number, name in enumerate(COPIED, 1):
        if not (folder / name).exists():
            print(f"== {number}/6 Copying {name}", flush=True)
            part = folder / f"{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(box / name, part)
            part.rename(folder / name)
    stamp = checkout / ".venv" / ".installed"  # the one that make looks at
    if stamp.exists():
        return
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    settings = {**kept, "PIP_CONFIG_FILE": os.devnull, "PYTHONNOUSERSITE": "1"}

    def run(*words):
        subprocess.run(words, cwd=checkout, env=settings, check=True)

    print("== 4/6 Making an environment", flush=True)
    run(sys.executable, "-m", "venv", "--clear", ".venv")
    pip = [str(checkout / ".venv" / BIN / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--no-index", "--find-links", str(box / "wheels")]
    print("== 5/6 Installing the packages (minutes)", flush=True)
    run(*pip, "--require-hashes", "-r", "requirements.lock")
    run(*pip, "--no-deps", "--require-hashes", "-r", "requirements-oracles.lock")
    print("== 6/6 Installing the companion", flush=True)
    run(*pip, "--quiet", "--no-deps", "--no-build-isolation", "-e", ".")
    stamp.touch()


def _activate():
    return r".venv\Scripts\activate" if os.name == "nt" else "source .venv/bin/activate"


if __name__ == "__main__":
    main()
