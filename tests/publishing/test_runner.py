"""Runs with real kernels: folders, skipping, failures, signals, parallel jobs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
import pytest

import companion
from companion.publishing.running import provenance, runner

from .conftest import WORK

COMPANION = [sys.executable, "-m", "companion.publishing.cli"]
FILES = ["executed.ipynb", "log.txt", "results.json", "run.json"]
# Says which process the kernel is, then works for ever, unless this was done before.
HANG = """\
import os, pathlib, time
mark = pathlib.Path(os.environ["COMPANION_ROOT"], "kernel")
if not mark.exists():
    mark.write_text(str(os.getpid()))
    time.sleep(600)
"""


def companion_run(*arguments: str, **settings) -> subprocess.CompletedProcess:
    """Run `companion run` to its end."""
    return subprocess.run(
        [*COMPANION, "run", *arguments], capture_output=True, text=True, timeout=120, **settings
    )


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def load(folder: Path, name: str) -> dict:
    """Return a JSON file of a run folder."""
    return json.loads((folder / name).read_text("utf-8"))


def leftovers(folder: Path) -> list[str]:
    """Return the hidden folders beside a run folder."""
    return sorted(path.name for path in folder.parent.glob(".*"))


def wait_for(condition, seconds: float = 60):
    """Wait until a condition holds and return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value


def alive(pid: int) -> bool:
    """Say whether a process lives (one that nobody has waited for yet does not)."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@contextmanager
def heard_signals():
    """What is started in here hears Ctrl-C, even where these tests run under nohup or behind "&"."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def hanging(checkout):
    """Start a run whose kernel works for ever; yield it with its process and kernel."""
    checkout.notebook("small", HANG, WORK)
    with heard_signals():
        process = subprocess.Popen(
            [*COMPANION, "run", "small"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    mark = checkout.root / "kernel"
    kernel = int(wait_for(lambda: mark.is_file() and mark.read_text()))
    try:
        yield checkout, process, kernel
    finally:
        process.kill()
        process.communicate()


def test_a_run_and_what_it_leaves(checkout):
    commands = 'import os\nprint(os.getcwd(), *(os.environ.get(k) for k in ("PYTHONHASHSEED", "MPLBACKEND")))'
    commands += '\nprint("trims above", os.environ.get("MALLOC_TRIM_THRESHOLD_"))'
    checkout.notebook("small", WORK, commands, "import sys; print('to stderr', file=sys.stderr)")
    done = companion_run("small", env={**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"})
    folder = checkout.folder("small")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^small: done in .* s \(runs/quick/small\)$", done.stdout, re.M)
    assert re.search(r"^1 ran, 0 up to date, 0 failed; [\d.]+ s$", done.stdout.splitlines()[-1])
    assert sorted(content(folder)) == FILES and leftovers(folder) == []

    assert load(folder, "results.json")["rows"] == [
        {"experiment": "T1", "quantity": "eps", "value": 0.1, "sd": 0.5, "n": 1, "model": "net"}
    ]
    record = load(folder, "run.json")
    assert record["complete"] is True and record["notebook"] == "small" and record["profile"] == "quick"
    assert record["parameters"]["steps"] == 10 and record["seeds"] == [0] and record["device"] == "cpu"
    assert record["data"].startswith("digits scikit-learn ")
    assert record["commit"] is None and record["cpu_count"] == provenance.cores()
    assert record["versions"]["papermill"] and record["versions"]["python"] == sys.version.split()[0]
    assert 0 < record["cpu_s"] < 60 and 0 < record["wall_s"] < 120 and 20 < record["peak_memory_mb"] < 1000
    assert record["command"] == "companion run small --profile quick"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["started"])

    log = (folder / "log.txt").read_text("utf-8")
    assert "a line for the log" in log and "to stderr" in log and "without encryption" not in log
    assert "trims above 536870912" in log
    assert f"{checkout.root} 0 inline" not in log  # ipykernel's own default, not the caller's Agg
    assert re.search(rf"^{re.escape(str(checkout.root))} 0 \S*(inline|None)\S*$", log, re.M)

    executed = nbformat.read(folder / "executed.ipynb", as_version=4)
    assert str(checkout.root) not in str(executed.metadata)
    assert [c.metadata.get("tags") for c in executed.cells][1:3] == [["parameters"], ["injected-parameters"]]
    assert all(c.execution_count for c in executed.cells if c.cell_type == "code")
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Return a folder with one complete run, to be copied."""
    from .conftest import Checkout

    root = tmp_path_factory.mktemp("once")
    (root / "pyproject.toml").write_text("")
    (root / "notebooks" / "profiles" / "quick").mkdir(parents=True)
    (root / "src" / "companion").mkdir(parents=True)
    (root / "src" / "companion" / "losses.py").write_text('def loss():\n    """One."""\n    return 1\n')
    Checkout(root).notebook("small", WORK, "print(eps)", text="# Old title")
    done = companion_run("small", env={**os.environ, "COMPANION_ROOT": str(root)})
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def complete(once, tmp_path, monkeypatch):
    """Return a checkout of its own with one complete run."""
    import shutil

    from .conftest import Checkout

    root = tmp_path / "copy"
    shutil.copytree(once, root)
    monkeypatch.setenv("COMPANION_ROOT", str(root))
    return Checkout(root)


def up_to_date(*assignments: str) -> bool:
    """Say whether the small notebook would be skipped."""
    (job,) = runner.plan(["small"], "quick", (), assignments)
    return runner.is_up_to_date(job)


def edit(path: Path, old: str, new: str) -> None:
    """Replace text in a file that must hold it."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_nothing_changed_is_skipped(complete):
    before = content(complete.folder("small"))
    assert up_to_date()
    done = companion_run("small", "-p", "steps=10")  # the profile's own value
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "small: up to date (runs/quick/small)"
    assert lines[1].startswith("0 ran, 1 up to date, 0 failed; ")
    assert content(complete.folder("small")) == before


def test_each_change_that_matters_reruns(complete):
    notebook = complete.root / "notebooks" / "small.ipynb"
    assert not up_to_date("steps=11")
    edit(notebook, "print(eps)", "print(eps )")
    assert not up_to_date()
    edit(notebook, "print(eps )", "print(eps)")
    assert up_to_date()
    source = complete.root / "src" / "companion" / "losses.py"
    edit(source, "return 1", "return 2")
    assert not up_to_date()
    edit(source, "return 2", "return 1")
    assert up_to_date()
    complete.profile("quick", "small", "eps: 0.1\nsteps: 9\nseeds: [0]\n")
    assert not up_to_date()


def test_another_recorded_run_reruns_the_chapter_that_shows_it(complete):
    assert up_to_date()
    (complete.root / "results").mkdir()
    (complete.root / "results" / "small.json").write_text('{"rows": [], "run": {}}')
    assert not up_to_date()


def test_changes_that_do_not_matter(complete):
    edit(complete.root / "src" / "companion" / "losses.py", "One.", "The constant one.")
    edit(complete.root / "src" / "companion" / "losses.py", "return 1", "return 1  # always")
    complete.profile("quick", "small", "seeds: [0]\nsteps: 10\neps: 1/10\n")
    assert up_to_date()


@pytest.mark.parametrize("name", FILES)
def test_a_folder_with_a_file_missing_is_not_complete(complete, name):
    (complete.folder("small") / name).unlink()
    assert not up_to_date()


def test_a_record_that_says_incomplete_is_believed(complete):
    edit(complete.folder("small") / "run.json", '"complete": true', '"complete": false')
    assert not up_to_date()


@pytest.mark.parametrize("text", ['{"complete": fal', "[]", "null"])
def test_a_damaged_record_is_not_complete(complete, text):
    (complete.folder("small") / "run.json").write_text(text)
    assert not up_to_date()


def test_edited_text_reaches_the_executed_copy_without_a_run(complete):
    path = complete.folder("small") / "executed.ipynb"
    before = nbformat.read(path, as_version=4)
    edit(complete.root / "notebooks" / "small.ipynb", "Old title", "New title")
    done = companion_run("small")
    assert "small: up to date, its text renewed" in done.stdout
    after = nbformat.read(path, as_version=4)
    assert after.cells[0].source == "# New title" and before.cells[0].source == "# Old title"
    assert after.cells[1:] == before.cells[1:] and after.metadata == before.metadata
    assert any(cell.get("outputs") for cell in after.cells)
    assert up_to_date() and "renewed" not in companion_run("small").stdout


def test_other_data_rerun(complete, monkeypatch):
    identity = ["first"]
    stub = types.SimpleNamespace(require=str, unused=lambda name: [], identity=lambda name: identity[0])
    monkeypatch.setattr(companion, "data", stub, raising=False)
    monkeypatch.setitem(sys.modules, "companion.data", stub)
    (first,) = runner.plan(["small"], "quick", (), ["dataset=mnist"])
    identity[0] = "second"
    (second,) = runner.plan(["small"], "quick", (), ["dataset=mnist"])
    assert first.data == "first" and first.hash != second.hash and first.label == second.label


@pytest.mark.slow
def test_other_parameters_get_a_folder_of_their_own(complete):
    before = content(complete.folder("small"))
    done = companion_run("small", "-p", "eps=8/255")
    (job,) = runner.plan(["small"], "quick", (), ["eps=8/255"])
    assert done.returncode == 0 and f"(runs/quick/{job.label})" in done.stdout
    assert load(job.folder, "results.json")["rows"][0]["value"] == 8 / 255
    assert load(job.folder, "run.json")["command"].endswith(f"-p eps={8 / 255}")
    assert content(complete.folder("small")) == before
    listed = subprocess.run([*COMPANION, "list"], capture_output=True, text=True).stdout
    assert re.search(rf"^{job.label} +quick +complete ", listed, re.M)
    assert re.search(r"^small +quick +complete ", listed, re.M)


@pytest.mark.slow
def test_force(complete):
    before = load(complete.folder("small"), "run.json")
    done = companion_run("small", "--force")
    assert done.returncode == 0 and "1 ran, 0 up to date" in done.stdout
    after = load(complete.folder("small"), "run.json")
    assert after["hash"] == before["hash"] and after["started"] != before["started"]


@pytest.mark.slow
def test_a_failure_keeps_the_complete_run_and_the_others_go_on(complete):
    folder, failed = complete.folder("small"), complete.folder("small.failed")
    before = content(folder)
    complete.notebook("tiny", "print(x)", parameters="x: int = 1")
    edit(complete.root / "notebooks" / "small.ipynb", "print(eps)", "raise KeyError(eps)")
    done = companion_run("small", "tiny")
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first.startswith("companion: works on ")  # the copy is not the checkout that the test stands in
    assert rest == [
        "small: failed in cell 5: KeyError: 0.1",
        "  log: runs/quick/small.failed/log.txt",
        "  the earlier complete run stays in runs/quick/small",
    ]
    assert "tiny: done" in done.stdout and "1 ran, 0 up to date, 1 failed" in done.stdout
    assert content(folder) == before
    assert sorted(content(failed)) == FILES and leftovers(folder) == []
    record = load(failed, "run.json")
    assert record["complete"] is False and record["cell"] == 5 and record["error"] == "KeyError: 0.1"
    assert load(failed, "results.json")["rows"]  # what was recorded before it failed
    assert "KeyError" in (failed / "log.txt").read_text("utf-8")
    listed = subprocess.run([*COMPANION, "list"], capture_output=True, text=True).stdout
    assert re.search(r"^small +quick +failed ", listed, re.M)

    edit(complete.root / "notebooks" / "small.ipynb", "raise KeyError(eps)", "print(eps, 2)")
    done = companion_run("small", "tiny")
    assert done.returncode == 0 and "1 ran, 1 up to date, 0 failed" in done.stdout
    assert not failed.exists() and content(folder) != before and up_to_date()


def test_stale_is_listed(complete):
    edit(complete.root / "src" / "companion" / "losses.py", "return 1", "return 2")
    listed = subprocess.run([*COMPANION, "list"], capture_output=True, text=True).stdout
    assert re.search(r"^small +quick +stale ", listed, re.M)


def test_a_damaged_run_is_listed_as_one(complete):
    edit(complete.folder("small") / "results.json", '"value"', '"valuE"')
    listed = subprocess.run([*COMPANION, "list"], capture_output=True, text=True).stdout
    assert re.search(r"^small +quick +damaged ", listed, re.M)


@pytest.mark.slow
def test_a_kernel_that_dies_in_a_cell(checkout):
    checkout.notebook("small", WORK, "import os; os._exit(9)")
    done = companion_run("small")
    assert done.returncode == 1
    assert re.search(r"^small: failed in cell 5: \w*: ?.*died", done.stderr, re.I)
    assert not checkout.folder("small").exists() and checkout.folder("small.failed").exists()


@pytest.mark.slow
def test_kill_9_and_a_second_run_meanwhile(hanging):
    checkout, process, kernel = hanging
    second = companion_run("small")
    assert second.returncode == 2 and second.stdout == ""
    said = f"companion: small is already being run (profile quick, process {process.pid}); "
    assert second.stderr == f"{said}wait for it or stop it\n"
    assert alive(kernel)

    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not alive(kernel), 15)
    folder = checkout.folder("small")
    assert not folder.exists() and leftovers(folder) == [f".small.{process.pid}.tmp"]
    listed = subprocess.run([*COMPANION, "list"], capture_output=True, text=True).stdout
    assert re.search(r"^small +quick +none$", listed, re.M)

    done = companion_run("small")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "small: removed what an interrupted run left behind"
    assert sorted(content(folder)) == FILES and leftovers(folder) == []
    assert load(folder, "results.json")["rows"][0]["value"] == 0.1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_kernel_and_keep_nothing(hanging, number):
    checkout, process, kernel = hanging
    started = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 10
    assert process.returncode == 128 + number and not alive(kernel)
    assert err == "companion: interrupted; all kernels ended, nothing unfinished was kept\n"
    folder = checkout.folder("small")
    assert not folder.exists() and leftovers(folder) == [] and list(folder.parent.iterdir()) == []


@pytest.mark.slow
def test_a_killed_process_is_a_failed_run(hanging):
    checkout, process, kernel = hanging
    (execute,) = psutil.Process(process.pid).children()
    execute.kill()
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1 and "0 ran, 0 up to date, 1 failed" in out
    assert err.startswith("small: failed in cell 4: its process ended with status -9\n")
    wait_for(lambda: not alive(kernel), 15)
    assert not checkout.folder("small").exists()
    assert load(checkout.folder("small.failed"), "run.json")["complete"] is False


def test_a_crash_between_the_two_renames_loses_nothing(complete):
    folder = complete.folder("small")
    before = content(folder)
    folder.rename(folder.with_name(".small.999999.old"))
    assert not up_to_date()
    done = companion_run("small")
    assert done.returncode == 0 and "small: up to date" in done.stdout
    assert content(folder) == before and leftovers(folder) == []


def flaky_kernel(folder: Path, deaths: int) -> dict[str, str]:
    """Write a kernel that dies at its first starts; return the environment that finds it first."""
    script = folder / "flaky.py"
    count = folder / "starts"
    count.write_text("")
    script.write_text(
        f"import os, pathlib, runpy, sys\ncount = pathlib.Path({str(count)!r})\n"
        "count.write_text(count.read_text() + 'x')\n"
        f"if len(count.read_text()) <= {deaths}:\n    os._exit(1)\n"
        "runpy.run_module('ipykernel_launcher', run_name='__main__')\n"
    )
    spec = folder / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, str(script), "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "flaky", "language": "python"}))
    return {**os.environ, "JUPYTER_PATH": str(folder)}


@pytest.mark.slow
@pytest.mark.parametrize("deaths, status", [(2, 0), (3, 1)])
def test_a_kernel_that_dies_at_its_start_is_started_again(checkout, tmp_path_factory, deaths, status):
    folder = tmp_path_factory.mktemp("kernel")
    checkout.notebook("small", WORK)
    done = companion_run("small", env=flaky_kernel(folder, deaths))
    assert done.returncode == status, done.stderr
    assert len((folder / "starts").read_text()) == 3
    log = (checkout.folder("small" if status == 0 else "small.failed") / "log.txt").read_text("utf-8")
    assert log.count("the kernel died at its start; start ") == 2
    assert ("small: failed: RuntimeError: Kernel died" in done.stderr) == (status == 1)


@pytest.mark.slow
def test_parallel_jobs(checkout):
    meet = """\
import os, pathlib, time
here = pathlib.Path(os.environ["COMPANION_ROOT"])
(here / f"{os.environ['COMPANION_NOTEBOOK']}.here").touch()
end = time.monotonic() + 60
while len(list(here.glob("*.here"))) < 2:
    assert time.monotonic() < end, "the other notebook never came"
    time.sleep(0.05)
run.record("T1", "threads", int(os.environ["OMP_NUM_THREADS"]))
"""
    checkout.notebook("one", meet)
    checkout.notebook("two", meet)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = companion_run("--jobs", "2", env=environment)
    assert done.returncode == 0, done.stderr
    assert "2 ran, 0 up to date, 0 failed" in done.stdout
    for name in ("one", "two"):
        rows = load(checkout.folder(name), "results.json")["rows"]
        assert rows[0]["value"] == max(1, provenance.cores() // 2)


def test_threads(checkout, monkeypatch):
    checkout.notebook("small")
    (job,) = runner.plan(["small"], "quick")
    for asked, wanted in (("", "8"), ("3", "3"), ("99", "8"), ("0", "8"), ("2,1", "8")):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert runner._environment(job, Path("x"), 8)["OMP_NUM_THREADS"] == wanted


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_bar_on_a_terminal(checkout):
    import fcntl
    import pty
    import struct
    import termios

    checkout.notebook("small", 'import time\nrun.status("net 2 of 9")\ntime.sleep(1)')
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen([*COMPANION, "run", "small"], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # how a pseudo-terminal says that nobody writes any more
        pass
    os.close(ours)
    assert process.wait() == 0
    assert re.search(rb"small: cell 3/4 \|[^|]*\| \d\d:\d\d, net 2 of 9", shown)


@pytest.mark.slow
def test_a_notebook_that_records_nothing(checkout):
    path = checkout.notebook("bare", "1 + 1", parameters="x: int = 1")
    nb = nbformat.read(path, as_version=4)
    nb.cells = [cell for cell in nb.cells if "begin" not in cell.source]
    nbformat.write(nb, path)
    assert companion_run("bare").returncode == 0
    assert load(checkout.folder("bare"), "results.json") == {"rows": []}


@pytest.mark.slow
def test_announcements_stand_above_the_outcome_and_leave_no_file(checkout):
    checkout.notebook("small", 'run.announce("9 nets to train")\nrun.announce("that was it")')
    done = companion_run("small")
    lines = done.stdout.splitlines()
    assert lines[1:3] == ["small: 9 nets to train", "small: that was it"] and "done" in lines[3]
    assert not (checkout.folder("small") / "announcements").exists()
