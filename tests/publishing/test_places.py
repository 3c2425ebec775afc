"""Strange places and other people's settings: runs do not mind, or say in one line what to do."""

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from companion import files, store
from companion.publishing import cli, paths
from companion.publishing.running import provenance, runner

from .conftest import WORK, Checkout

ROOT = Path(__file__).parents[2]
RUN = [sys.executable, "-m", "companion.publishing.cli", "run", "small"]


def make_checkout(root):
    (root / "notebooks" / "profiles" / "quick").mkdir(parents=True)
    (root / "src" / "companion").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    return Checkout(root)


def git(root, *words):
    call = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(root), *words]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()


# --- the checkout ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "a blank", "{eps}", "tab\tand é"])
@pytest.mark.parametrize("owner", ["ours", "another"])
def test_the_commit_is_found_wherever_the_checkout_lies_and_whoever_owns_it(
    name, owner, tmp_path, monkeypatch
):
    root = tmp_path / name
    root.mkdir()
    git(root, "init", "-q")
    (root / "file").touch()
    git(root, "add", "file")
    git(root, "commit", "-qm", "first")
    head = git(root, "rev-parse", "HEAD")
    if owner == "another":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git then says "dubious ownership"
        with pytest.raises(subprocess.CalledProcessError):
            git(root, "rev-parse", "HEAD")
    assert provenance.commit(root) == (head, False)


@pytest.mark.slow
def test_a_run_in_hostile_surroundings(tmp_path, monkeypatch):
    """Blanks and braces in the path, an ASCII terminal, few open files, and settings that would spoil it."""
    checkout = make_checkout(tmp_path / "a {eps} b")
    reports = (
        "import json, matplotlib, pathlib\n"
        'found = {"planted": "planted" in globals(), "usetex": matplotlib.rcParams["text.usetex"]}\n'
        'pathlib.Path(os.environ["COMPANION_ROOT"], "found").write_text(json.dumps(found))\n'
        'print("é ≤ 漢")'
    )
    figure = "import os, matplotlib.pyplot as plt\nplt.plot([0, 1])"
    checkout.notebook("small", WORK, figure, reports)
    home = tmp_path / "home"
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    for script in (startup / "first.py", home / "start.py"):
        script.write_text("planted = True")
    (startup.parent / "ipython_kernel_config.py").write_text("c.InteractiveShell.pdb = True")
    (home / ".config" / "matplotlib").mkdir(parents=True)
    (home / ".config" / "matplotlib" / "matplotlibrc").write_text("text.usetex: True")
    monkeypatch.chdir(checkout.root)
    env = {
        **os.environ,
        "COMPANION_ROOT": str(checkout.root),
        "HOME": str(home),
        "PYTHONSTARTUP": str(home / "start.py"),
        "PYTHONIOENCODING": "ascii",
        "TERM": "dumb",
        "OMP_NUM_THREADS": "1",
    }
    few = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))"
    few += "; os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", few, *RUN], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((checkout.root / "found").read_text()) == {"planted": False, "usetex": False}
    assert "é ≤ 漢" in (checkout.folder("small") / "log.txt").read_text("utf-8")
    assert "image/png" in (checkout.folder("small") / "executed.ipynb").read_text("utf-8")
    assert {path.name for path in checkout.folder("small").iterdir()} == set(runner.KEPT)


def test_too_few_open_files_are_said(checkout, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    with pytest.raises(paths.UserError, match=r"only 64 files may be open .* a run needs 256; raise it"):
        runner.run([])


def test_a_run_needs_nothing_of_a_home_folder(tmp_path, monkeypatch):
    """HOME leads nowhere, as where it is read-only: nothing is written there, and no warning is shown."""
    monkeypatch.setenv("HOME", os.devnull + "/none")
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    own = runner._own_settings(tmp_path / "run")
    assert set(own) == {"IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MATPLOTLIBRC", "MPLCONFIGDIR"}
    assert all(Path(place).is_relative_to(tmp_path) for place in own.values())
    code = "import matplotlib; print(matplotlib.get_configdir())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | own, capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == (str(tmp_path / "runs" / ".matplotlib"), "")


def test_a_checkout_that_cannot_be_written_is_said(checkout, capsys):
    checkout.notebook("small", WORK)
    (checkout.root / "runs").write_text("a file: no folder can be made here, as on a read-only disc")
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "small"])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line.startswith("companion: runs/.locks cannot be written (")
    assert line.endswith("make it writable, or work in a copy of it")


def test_a_file_that_cannot_be_used_costs_one_line(checkout, capsys, monkeypatch):
    def refuse():
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr(cli.notebooks, "names", refuse)
    with pytest.raises(SystemExit) as ended:
        cli.main(["build"])
    assert ended.value.code in (1, 2)
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("set_by", ["COMPANION_ROOT", "installed"])
def test_another_checkout_than_the_one_it_is_called_in_is_said(
    set_by, checkout, tmp_path, monkeypatch, capsys
):
    checkout.notebook("small", WORK)
    other = make_checkout(tmp_path / "other").root
    monkeypatch.chdir(other / "notebooks")
    if set_by == "installed":
        monkeypatch.delenv("COMPANION_ROOT")
        monkeypatch.setattr(paths, "__file__", str(checkout.root / "src" / "companion" / "paths.py"))
    with pytest.raises(SystemExit):
        cli.main(["list"])
    (line,) = capsys.readouterr().err.splitlines()
    why = "COMPANION_ROOT names it" if set_by == "COMPANION_ROOT" else "the package is installed from it"
    assert line == f"companion: works on {checkout.root}, not on {other}: {why}"
    monkeypatch.chdir(checkout.root / "notebooks")
    with pytest.raises(SystemExit):
        cli.main(["list"])
    assert capsys.readouterr().err == ""


# --- variables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["~/nets", "", None])
def test_companion_store(value, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("COMPANION_STORE", raising=False)
    default = store.folder()
    if value is not None:
        monkeypatch.setenv("COMPANION_STORE", value)
    assert store.folder() == (tmp_path / "nets" if value else default)


def test_companion_root_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COMPANION_ROOT", "~/book")
    assert paths.root() == tmp_path / "book"


def test_files_are_written_whatever_file_system_temporary_files_lie_on(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/proc" if Path("/proc").is_dir() else str(tmp_path / "none"))
    files.write_atomic(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_that_lacks_our_signs_shows_others(encoding, checkout, monkeypatch):
    checkout.notebook("small", WORK, parameters='note: str = "a"  # ≤ 漢\n')
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit) as ended:
        cli.main(["list", "small"])
    runner._say("so ≤ 漢")
    stream.flush()
    assert not ended.value.code and b"so ? ?" in stream.buffer.getvalue()


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_containers_share_of_the_processor_counts(files, quota, tmp_path, monkeypatch):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert provenance._quota(tmp_path) == quota
    monkeypatch.setattr(provenance.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(provenance, "_quota", lambda: quota)
    assert provenance.cores() == {None: 8, 1.5: 2, 0.5: 1}[quota]


# --- make ------------------------------------------------------------------------------------------------


def environment_of(place, made_in=None):
    """A folder like one that `make` installed into, for a checkout at another place if one is given."""
    bin_ = place / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").symlink_to(sys.executable)
    (bin_ / "pip").write_text(f"#!{(made_in or place).resolve()}/bin/python\n")
    (place / ".installed").touch()
    return place


def make(*arguments, **settings):
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, **settings)


@pytest.mark.parametrize("case", ["fine", "moved", "interpreter gone"])
def test_make_installs_again_where_the_environment_cannot_work(case, tmp_path):
    venv = environment_of(tmp_path / "venv", tmp_path / "before" if case == "moved" else None)
    if case == "interpreter gone":
        (venv / "bin" / "python").unlink()
        (venv / "bin" / "python").symlink_to("/nowhere/python3")
    done = make("--dry-run", f"VENV={venv}", "lab", f"PYTHON={sys.executable}")
    assert done.returncode == 0, done.stderr
    assert (f"-m venv --clear {venv}" in done.stdout) == (case != "fine")


def test_make_keeps_pip_to_the_environment(tmp_path):
    shown = tmp_path / "Makefile"
    shown.write_text(f"include {ROOT}/Makefile\nshow:\n\t@env\n")
    spoilt = {"PIP_USER": "1", "PIP_TARGET": "/elsewhere", "PIP_PREFIX": "/elsewhere"}
    done = make("-f", str(shown), f"VENV={tmp_path}", "show", env=os.environ | spoilt)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert found["PIP_USER"] == "0" and found["PYTHONNOUSERSITE"] == "1"
    assert not {"PIP_TARGET", "PIP_PREFIX"} & set(found)
    assert 'PYTHONNOUSERSITE: "1"' in (ROOT / "environment.yml").read_text("utf-8")


def test_make_serve_says_that_a_port_is_taken(tmp_path):
    import socket

    venv = environment_of(tmp_path / "venv")
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = make(f"VENV={venv}", f"HTML={tmp_path / 'html'}", f"PORT={port}", "serve", timeout=60)
    assert done.returncode and f"port {port} cannot be used" in done.stderr.splitlines()[0]
