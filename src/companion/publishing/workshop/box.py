"""A workshop in a box: one folder to hand round, from which everything is installed without a network.

wheels/ (packages, checked by hash), companion/ (the checkout with its executed chapters and trained nets),
book/ (the pages), student/ and instructor/ (the two editions of the workbooks), start scripts, README.md,
SHA256SUMS and made.json. What an interrupted `make` left is completed by the next.
"""

import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from packaging.markers import Marker
from tqdm import tqdm

from companion.files import write_atomic
from companion.publishing import paths
from companion.publishing.pages import site
from companion.publishing.paths import UserError
from companion.publishing.running import provenance, runner
from companion.publishing.workshop import checking, proof, readme, start, workbook

LOCKS = ("requirements.lock", "requirements-oracles.lock")
MADE = "made.json"
#: Packages that one call of pip fetches: what is lost at most when it is interrupted.
AT_ONCE = 10
#: Files that speak of the proof, so that it cannot be a proof of them.
_ABOUT = {MADE, proof.LOG, "README.md", start.SUMS}

Say = Callable[[str], None]


def make(out: Path, profile: str, say: Say) -> bool:
    """Make the box `out`, or complete it, and prove it unless it has been proved as it is; was it proved?

    Raises UserError, before anything is written, for whatever the user must fix.
    """
    clock, root = time.monotonic(), paths.root()
    commit, jobs = _committed(root, say), _executed(profile)
    made = begin(out, {"commit": commit, "profile": profile, "system": system(), "python": python()})
    wheels = locked((root / name).read_text("utf-8") for name in LOCKS)
    left = missing(wheels, out / "wheels")
    _announce(left, out, say)
    say(f"== 1/5 Packages ({len(wheels) - len(left)} of {len(wheels)} are here)")
    _download(left, out / "wheels")
    say("== 2/5 Exercises and pages")
    if not all((out / which).is_dir() for which in workbook.LEFT_OUT):
        _editions(out)
    _replaced(out / "book", lambda part: shutil.copytree(root / "_build" / "html", part))
    say("== 3/5 Checkout, chapters and trained nets")
    _checkout(root, commit, out / "companion")
    _copy_runs(jobs, out / "companion" / "runs")
    say("== 4/5 Start scripts, checksums")
    write_scripts(out, made["python"])
    made["packages"] = len(wheels)
    made["bytes"] = {path.name: readme.size(path) for path in sorted(out.iterdir()) if path.is_dir()}
    sums = checksums(out)
    content = hashlib.sha256(json.dumps(sums).encode()).hexdigest()
    if made.get("proved", {}).get("content") == content:
        say(f"== 5/5 Proved as it is: {made['proved']['when']}")
        finish(out, made, sums)
        return True
    made.pop("proved", None)
    made["minutes"] = round((time.monotonic() - clock) / 60, 1)
    finish(out, made, sums)
    say(
        f"== 5/5 Proof: installing from the box and running the sessions of book/teach.md ({out / proof.LOG})"
    )
    found = proof.prove(out, profile, say)
    if found is not None:
        made["proved"] = {"content": content, **found}
    finish(out, made, sums)
    return found is not None


def system() -> str:
    """The system and the processor that packages are made for, such as "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


def python() -> str:
    """The version of Python that packages are made for, such as "3.11"."""
    return ".".join(platform.python_version_tuple()[:2])


def begin(out: Path, what: dict[str, str]) -> dict[str, Any]:
    """Begin a box, or go on with one; return what is known of it: `what`, and its proof if it has one.

    Of a box of another commit or profile the packages are kept. Raises UserError for a folder that is none.
    """
    try:
        before = json.loads((out / MADE).read_text("utf-8")) if out.is_dir() and any(out.iterdir()) else {}
        ours = not before or set(what) <= set(before)
    except (OSError, ValueError, TypeError):
        before, ours = {}, False
    if not ours:
        raise UserError(f"{out} holds something else than a box that was begun here; name another folder")
    for key in ("system", "python"):
        if before and before[key] != what[key]:
            raise UserError(f"{out} was begun for {before[key]}, this is {what[key]}; name another folder")
    if any(before.get(key) != value for key, value in what.items()):
        for path in out.iterdir() if before else ():
            if path.is_dir() and path.name != "wheels":
                shutil.rmtree(path)
        before = {}
    out.mkdir(parents=True, exist_ok=True)
    made = {**before, **what}
    write_atomic(out / MADE, json.dumps(made, indent=1) + "\n")
    return made


def locked(locks: Iterable[str]) -> dict[str, set[str]]:
    """The packages of lock files that this machine installs, as "name==version": hashes of their files."""
    found = {}
    for text in locks:
        entries = re.findall(r"^(\S+==\S+)(?: ; (.+?))? \\\n((?: +--hash=.+\n)+)", text, re.MULTILINE)
        for pin, marker, hashes in entries:
            if not marker or Marker(marker).evaluate():
                found[pin] = set(re.findall(r"sha256:(\w+)", hashes))
    return found


def missing(wheels: dict[str, set[str]], folder: Path) -> dict[str, set[str]]:
    """The packages that no whole file of the folder is of; files of no package are removed."""
    there = {start.digest(path): path for path in folder.glob("*")}
    wanted = set().union(*wheels.values())
    for sha256, path in there.items():
        if sha256 not in wanted:
            path.unlink()
    return {pin: hashes for pin, hashes in wheels.items() if not hashes & set(there)}


def checksums(out: Path) -> dict[str, str]:
    """The SHA-256 of every file of a box, by name, but of those that are written after its proof."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    names = {path.relative_to(out).as_posix(): path for path in files}
    return {name: start.digest(path) for name, path in names.items() if name not in _ABOUT}


def finish(out: Path, made: dict[str, Any], sums: dict[str, str]) -> None:
    """Write what speaks of the whole box: made.json, README.md and, last, the checksums."""
    write_atomic(out / MADE, json.dumps(made, indent=1) + "\n")
    write_atomic(out / "README.md", readme.text(made))
    about = {name: start.digest(out / name) for name in _ABOUT - {start.SUMS} if (out / name).is_file()}
    lines = [f"{sha256}  {name}\n" for name, sha256 in sorted({**sums, **about}.items())]
    write_atomic(out / start.SUMS, "".join(lines))


def write_scripts(out: Path, version: str) -> None:
    """Write start.py, and for each system the script that finds the Python it needs and starts it."""
    shutil.copyfile(start.__file__, out / "start.py")
    write_atomic(out / "start.sh", _SH.replace("3.11", version))
    write_atomic(out / "start.command", '#!/bin/sh\nexec sh "$(dirname "$0")/start.sh" "$@"\n')
    write_atomic(out / "start.bat", _BAT.replace("3.11", version).replace("\n", "\r\n"))
    for name in ("start.sh", "start.command"):
        (out / name).chmod(0o755)


def _committed(root: Path, say: Say) -> str:
    """The commit of the checkout; UserError where the box would not hold what is here."""
    commit, _ = provenance.commit(root)
    if commit is None:
        raise UserError(f"{root} is no git checkout, and the box gets a clone of it; git clone it first")
    lines = _git(root, "status", "--porcelain").splitlines()
    changed = [line[3:] for line in lines if not line.startswith("??") or line[3:].startswith("src/")]
    if changed:
        shown = ", ".join(changed[:3]) + (" …" if len(changed) > 3 else "")
        raise UserError(f"not committed: {shown}; commit or stash it, the box holds what is committed")
    if lines:
        say(f"not committed and not in the box: {', '.join(line[3:] for line in lines)}")
    return commit


def _git(root: Path, *words: str) -> str:
    # Asking for the state must not write the index, whose checksum is in the box.
    call = ["git", "--no-optional-locks", "-c", "safe.directory=*", "-C", str(root), *words]
    done = subprocess.run(call, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise UserError(f"git {words[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _executed(profile: str) -> list[runner.Job]:
    """The runs of a profile, all up to date and shown by the pages; UserError where they are not."""
    jobs = runner.plan((), profile)
    if stale := [job.label for job in jobs if not runner.is_up_to_date(job)]:
        raise UserError(f"not up to date: {', '.join(stale)}; run `companion run --profile {profile}` first")
    html = paths.root() / "_build" / "html"
    for job in jobs:
        page = html / "notebooks" / f"{job.notebook}.html"
        shown = page.is_file() and f'name="{site.RUN_META}" content="{profile}"' in page.read_text("utf-8")
        if not shown or page.stat().st_mtime < (job.folder / "executed.ipynb").stat().st_mtime:
            raise UserError(
                f"the pages do not show {job.label} as it is; run `companion build --profile {profile}` first"
            )
    return jobs


def _announce(left: dict[str, set[str]], out: Path, say: Say) -> None:
    """Say what will be downloaded, and how large it is at most, before it is."""
    if not left:
        return say("nothing to download: all packages are here")
    free = shutil.disk_usage(next(p for p in (out, *out.resolve().parents) if p.exists())).free
    sizes = [_installed(pin) for pin in left]
    unknown = f", and {sizes.count(None)} whose size is not known" if None in sizes else ""
    most = readme.shown(sum(filter(None, sizes)))
    say(
        f"to download: {len(left)} packages, less than {most} (what they take installed; packed it is about "
        f"half){unknown}; {readme.shown(free)} are free in {out}"
    )


def _installed(pin: str) -> int | None:
    """Bytes that a package takes in this environment; None if this version is not in it."""
    name, version = re.fullmatch(r"([\w.-]+)(?:\[.*\])?==(.+)", pin).groups()
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return sum(file.size or 0 for file in found.files or ()) if found.version == version else None


def _download(wheels: dict[str, set[str]], folder: Path) -> None:
    """Have pip fetch packages and check their hashes. Raises UserError with pip's reason when it cannot."""
    pins = list(wheels)
    with tqdm(total=len(pins), unit="package", disable=None) as bar, tempfile.TemporaryDirectory() as scratch:
        for first in range(0, len(pins), AT_ONCE):
            some = pins[first : first + AT_ONCE]
            bar.set_postfix_str(", ".join(pin.partition("==")[0] for pin in some[:3]))
            asked = Path(scratch) / "asked.txt"
            lines = [" ".join([pin, *(f"--hash=sha256:{one}" for one in wheels[pin])]) for pin in some]
            asked.write_text("\n".join(lines) + "\n", "utf-8")
            call = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
            call += ["--disable-pip-version-check", "--dest", str(folder), "-r", str(asked)]
            done = subprocess.run(call, capture_output=True, text=True)
            if done.returncode:
                said = [line for line in done.stderr.splitlines() if line.strip()] or ["pip says nothing"]
                reason = next((line for line in said if line.startswith("ERROR")), said[-1])
                raise UserError(f"pip download: {reason}; the same command goes on from here")
            bar.update(len(some))


def _checkout(root: Path, commit: str, target: Path) -> None:
    """A clone of the commit without its history, unless it is there."""
    if target.is_dir() and not _git(target, "status", "--porcelain"):
        return

    def clone(part: Path) -> None:
        _git(root, "clone", "--quiet", "--depth", "1", "--no-tags", root.as_uri(), str(part))
        _git(part, "remote", "remove", "origin")

    _replaced(target, clone)
    if _git(target, "rev-parse", "HEAD").strip() != commit:
        raise UserError(f"a commit was made in {root} meanwhile; the same command starts anew from it")


def _copy_runs(jobs: Sequence[runner.Job], runs: Path) -> None:
    """The folders of the runs, and the store: which of its nets a run has used is not known."""
    from companion.store.files import folder  # brings torch along, which no other command waits for

    for job in jobs:
        _replaced(runs / job.profile / job.label, lambda part, job=job: shutil.copytree(job.folder, part))
    left_out = shutil.ignore_patterns("*.lock", "*.tmp")
    if folder().is_dir():
        _replaced(runs / "store", lambda part: shutil.copytree(folder(), part, ignore=left_out))


def _editions(out: Path) -> None:
    """Both editions of every workbook, the instructor's executed, so that the nets it needs are stored."""
    part = out / "editions.part"
    shutil.rmtree(part, ignore_errors=True)
    workbook.write_editions(part)
    with tempfile.TemporaryDirectory() as scratch, checking.own_kernel(Path(scratch)):
        for path in tqdm(sorted((part / "instructor").glob("*.ipynb")), unit="notebook", disable=None):
            notebook = nbformat.read(path, as_version=4)
            client = NotebookClient(
                notebook, kernel_name="python3", resources={"metadata": {"path": scratch}}
            )
            client.execute(stderr=subprocess.DEVNULL)  # a kernel's own remarks, of no use to anybody here
            nbformat.write(notebook, path)
    for which in workbook.LEFT_OUT:
        shutil.rmtree(out / which, ignore_errors=True)
        (part / which).rename(out / which)
    part.rmdir()


def _replaced(target: Path, make: Callable[[Path], Any]) -> None:
    """Have `make` make a folder beside `target`, and put it in its place when it is whole."""
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    make(part)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


_SH = """\
#!/bin/sh
# Installs the workshop from this folder, without a network, and opens its exercises: sh start.sh [FOLDER]
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
for python in "${PYTHON:-python3.11}" python3.11 python3 python; do
    if "$python" -c "import ensurepip, sys, venv
sys.exit('%d.%d' % sys.version_info[:2] != '3.11')" 2>/dev/null; then
        exec "$python" "$here/start.py" "$@"
    fi
done
echo "start: the packages are for Python 3.11 (with venv and ensurepip), which was not found: install it," \\
    "or name it: PYTHON=/where/it/is/python3.11 sh start.sh" >&2
exit 2
"""

_BAT = """\
@echo off
rem Installs the workshop from this folder, without a network, and opens its exercises: start.bat [FOLDER]
for %%P in ("py -3.11" "python3.11" "python3" "python") do (
    %%~P -c "import sys; sys.exit('%%d.%%d' %% sys.version_info[:2] != '3.11')" >nul 2>&1 && (
        %%~P "%~dp0start.py" %*
        goto end
    )
)
echo start: the packages are for Python 3.11, which was not found: install it, then start again
:end
pause
"""
