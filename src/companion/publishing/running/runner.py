"""Plan and run notebooks: run folders, skipping what is up to date, parallel processes, clean ends."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import nbformat
import psutil
from filelock import Timeout
from tqdm import tqdm

from companion.files import write_atomic
from companion.locks import lock
from companion.publishing import paths
from companion.publishing.paths import UserError
from companion.publishing.running import notebooks, parameters, provenance

KEPT = ("executed.ipynb", "results.json", "run.json", "log.txt")
#: glibc's malloc gives large tensors back to the system and asks for them again at every pass, unless told
#: to keep them: up to a fifth of an attack's time on 28x28 images. Read when a process starts; other systems
#: ignore it.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**29)}

#: Folder of what IPython, Jupyter and Matplotlib read and write in a run, in place of the user's.
SETTINGS = "settings"

#: How many files a run must be able to open: a kernel keeps about 60, those of its sockets included.
FILES = 256

_NOISE = "Kernel is running over TCP without encryption"
_POLL_S = 0.1


class Terminated(BaseException):
    """The process was asked to end; carries the number of the signal."""


@dataclass(frozen=True)
class Job:
    """One notebook with all its parameters settled."""

    notebook: str
    profile: str
    values: Mapping[str, Any]
    of_profile: Mapping[str, Any]
    source: nbformat.NotebookNode
    package: str
    data: str

    @cached_property
    def hash(self) -> str:
        """Hash of everything that decides the results."""
        recorded = notebooks.recorded(self.notebook)
        return provenance.run_hash(
            notebooks.code(self.source), self.values, self.package, self.data, recorded
        )

    @cached_property
    def label(self) -> str:
        """Name of the run folder: the notebook's, and a short hash where parameters leave the profile."""
        changed = dict(self.values) != dict(self.of_profile)
        return self.notebook + (f"@{provenance.digest(dict(self.values))[:8]}" if changed else "")

    @property
    def folder(self) -> Path:
        """Folder of the complete run."""
        return paths.runs_dir() / self.profile / self.label

    @property
    def failed_folder(self) -> Path:
        """Folder of the last run that failed."""
        return self.folder.with_name(f"{self.label}.failed")

    @property
    def command(self) -> str:
        """Command that repeats the run."""
        return notebooks.repeat_command(self.notebook, self.profile, self.values, self.of_profile)


@dataclass
class _Worker:
    """A job under way: its process, its temporary folder, its progress bar."""

    job: Job
    folder: Path
    process: subprocess.Popen
    bar: tqdm
    row: int
    announced: int = 0


def plan(
    chosen: Sequence[str], profile: str, files: Sequence[Path] = (), assignments: Sequence[str] = ()
) -> list[Job]:
    """Settle every parameter of the chosen notebooks before anything starts.

    If none is chosen: of all that have the profile, with a line that names the others.
    Precedence: the notebook's defaults, the profile, `files` in turn, `assignments` (`NAME=VALUE`) in turn.
    Raises UserError for whatever the user must fix: names, values, missing data.
    """
    names = list(dict.fromkeys(notebooks.named(text) for text in chosen)) or _having(profile)
    given = [(str(path), parameters.load_yaml(path, str(path))) for path in files]
    given += [("-p", dict([parameters.assignment(text)])) for text in assignments]
    settled = []
    for name in names:
        declared = notebooks.declared(name)
        layer = notebooks.profile_values(name, profile)
        of_profile = parameters.resolve(declared, [layer], name)
        settled.append((name, parameters.resolve(declared, [layer, *given], name), of_profile))
    package = provenance.source_hash(paths.package_dir())
    return [
        Job(
            name,
            profile,
            values,
            of_profile,
            notebooks.read(notebooks.source_path(name)),
            package,
            data_of(values),
        )
        for name, values, of_profile in settled
    ]


def _having(profile: str) -> list[str]:
    """Return the notebooks that have a profile; say which have not."""
    if not notebooks.names():
        raise UserError(f"no notebooks in {paths.shown(paths.notebooks_dir())}")
    notebooks.require_profile(profile)
    having = [name for name in notebooks.names() if profile in notebooks.profiles(name)]
    if without := [name for name in notebooks.names() if name not in having]:
        _say(f"without a profile '{profile}', not run: {', '.join(without)}")
    return having


def data_of(values: Mapping[str, Any]) -> str:
    """Return the identity of the data sets a run reads, once it is certain that they are there.

    They are the parameter `dataset`, and `X_dataset` of every part X that the parameter `X` switches on.
    """
    names = [
        str(value)
        for key, value in values.items()
        if key == "dataset" or (key.endswith("_dataset") and values.get(key.removesuffix("_dataset"), True))
    ]
    return " ".join(map(_identity, names))


def _identity(dataset: str) -> str:
    from companion import data

    try:
        with chdir(paths.root()):  # where the kernel will look for `folder:PATH`
            data.require(dataset)
            for line in data.unused(dataset):
                _say(line)
            return data.identity(dataset)
    except ValueError as error:
        raise UserError(" ".join(str(error).split())) from None


def run(jobs: Sequence[Job], at_once: int = 1, force: bool = False) -> int:
    """Run the jobs that are not up to date, `at_once` at a time, saying what happens; return the exit status.

    The status is 0 if every notebook is complete, 1 if one failed. Raises UserError, before anything starts,
    if another process runs one of them. On Ctrl-C or a signal to end, all kernels end and no part is kept.
    """
    clock = time.monotonic()
    _allow_open_files()
    with ExitStack() as stack:
        stack.enter_context(signals())
        for job in jobs:
            stack.enter_context(_lock(job))
        for job in jobs:
            _recover(job)
        waiting = [job for job in jobs if force or not is_up_to_date(job)]
        for job in jobs:
            if job not in waiting:
                renewed = ", its text renewed" if _refresh_text(job) else ""
                _say(f"{job.label}: up to date{renewed} ({paths.shown(job.folder)})")
        done = _run_all(waiting, at_once)
    fresh, failed = len(jobs) - len(waiting), len(done) - sum(done)
    wall = time.monotonic() - clock
    _say(f"{sum(done)} ran, {fresh} up to date, {failed} failed; {duration(wall)}")
    return 1 if failed else 0


def is_up_to_date(job: Job) -> bool:
    """Say whether the job's folder holds a complete run of exactly this job."""
    record = read_record(job.folder)
    right = record.get("complete") is True and record.get("hash") == job.hash
    return right and is_whole(job.folder, record)


def is_whole(folder: Path, record: Mapping[str, Any]) -> bool:
    """Say whether the files of a complete run, whose run.json is `record`, are as they were written."""
    files = all((folder / name).is_file() for name in KEPT)
    return files and record.get("checksums") == _checksums(folder, record)


def read_record(folder: Path) -> dict[str, Any]:
    """Return the run.json of a folder; an empty record if there is none or it is damaged."""
    try:
        record = json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _checksums(folder: Path, record: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 of the files that the book shows, and of what `record`, the folder's run.json, says."""
    said = json.dumps({k: v for k, v in record.items() if k != "checksums"}, sort_keys=True)
    content = {name: (folder / name).read_bytes() for name in ("executed.ipynb", "results.json")}
    content["run.json"] = said.encode()
    return {name: hashlib.sha256(what).hexdigest() for name, what in content.items()}


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the run.json of a complete run, with checksums by which later damage is noticed."""
    record = {**record, "checksums": _checksums(folder, record)}
    write_atomic(folder / "run.json", json.dumps(record, indent=1) + "\n")


def duration(seconds: float) -> str:
    """Write a duration as a reader says it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def _allow_open_files() -> None:
    """Let this process and its kernels open as many files as they need; UserError where that is forbidden.

    Where it runs out of files, a kernel leaves out a figure and goes on.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < FILES:
        raise UserError(
            f"only {hard} files may be open at a time (ulimit -n) and a run needs {FILES}; raise it"
        )
    if 0 <= soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


@contextmanager
def _lock(job: Job) -> Iterator[None]:
    """Hold the job's folder against other runners; the system frees it when this process ends in any way."""
    path = paths.runs_dir() / ".locks" / f"{job.profile}.{job.label}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise UserError(
            f"{paths.shown(path.parent)} cannot be written ({error.strerror}), and runs are kept in the "
            "checkout: make it writable, or work in a copy of it"
        ) from None
    holder = path.with_suffix(".pid")
    held = lock(path)
    try:
        held.acquire(timeout=0)
    except Timeout:
        who = holder.read_text("utf-8") if holder.is_file() else "unknown"
        raise UserError(
            f"{job.label} is already being run (profile {job.profile}, process {who}); wait for it or stop it"
        ) from None
    try:
        write_atomic(holder, str(os.getpid()))
        yield
    finally:
        held.release()


@contextmanager
def signals() -> Iterator[None]:
    """Turn the signals that end a process into an exception, so that kernels are ended first."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    numbers = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
    # A signal ignored by whoever started us (nohup) stays ignored.
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _recover(job: Job) -> None:
    """Put right what a killed runner left: bring back a complete run set aside, remove unfinished ones."""
    for aside in job.folder.parent.glob(f".{job.label}.[0-9]*.old"):
        if job.folder.exists():
            shutil.rmtree(aside)
        else:
            os.replace(aside, job.folder)
    for remains in job.folder.parent.glob(f".{job.label}.[0-9]*.tmp"):
        shutil.rmtree(remains, ignore_errors=True)
        _say(f"{job.label}: removed what an interrupted run left behind")


def _refresh_text(job: Job) -> bool:
    """Bring edited text and captions into the executed copy of a run whose code is unchanged."""
    path = job.folder / "executed.ipynb"
    executed = notebooks.read(path)
    renewed = notebooks.with_outputs(job.source, executed)
    if renewed == executed:
        return False
    write_atomic(path, nbformat.writes(renewed))
    _write_record(job.folder, read_record(job.folder))
    return True


def _run_all(jobs: Sequence[Job], at_once: int) -> list[bool]:
    """Run jobs, `at_once` at a time; return for each whether it is complete, in the order they ended."""
    waiting, running, done = list(jobs), [], []
    threads = max(1, provenance.cores() // max(1, min(at_once, len(waiting))))
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                row = min(set(range(at_once)) - {worker.row for worker in running})
                running.append(_start(waiting.pop(0), threads, row))
            time.sleep(_POLL_S)
            for worker in list(running):
                _show(worker)
                if worker.process.poll() is not None:
                    done.append(_finish(worker))
                    running.remove(worker)
    finally:
        _stop(running)
    return done


def _start(job: Job, threads: int, row: int) -> _Worker:
    """Start the process of a job in a new temporary folder beside the one it will become."""
    provenance.commit(paths.root())  # asked now and remembered: what is committed meanwhile does not count
    folder = job.folder.with_name(f".{job.label}.{os.getpid()}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / SETTINGS).mkdir()
    (folder / SETTINGS / "matplotlibrc").touch()  # empty: Matplotlib's own settings
    nbformat.write(job.source, folder / "source.ipynb")
    (folder / "job.json").write_text(json.dumps({"parameters": dict(job.values)}), "utf-8")
    cells = len(notebooks.code(job.source)) + bool(job.values)  # papermill adds one cell for the parameters
    bar = tqdm(
        total=cells,
        desc=job.label,
        position=row,
        leave=False,
        disable=None,
        dynamic_ncols=True,
        bar_format="{desc}: cell {n_fmt}/{total_fmt} |{bar:20}| {elapsed}{postfix}",
    )
    if bar.disable:
        _say(f"{job.label}: running {cells} cells (profile {job.profile})")
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "companion.publishing.running.execute", str(folder)],
            cwd=paths.root(),
            env=_environment(job, folder, threads),
            stdin=subprocess.PIPE,  # never written to: its end tells the process that this one is gone
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the others in order
        )
    return _Worker(job, folder, process, bar, row)


def _environment(job: Job, folder: Path, threads: int) -> dict[str, str]:
    """Return the environment of a kernel."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    environment = {
        **KEEP_MEMORY,
        **os.environ,
        "COMPANION_ROOT": str(paths.root()),
        "COMPANION_RUN_DIR": str(folder),
        "COMPANION_NOTEBOOK": job.notebook,
        "COMPANION_PROFILE": job.profile,
        # Two kernels with as many threads as cores each slow one another down fifteenfold.
        "OMP_NUM_THREADS": str(min(threads, int(asked)) if asked.isdigit() and int(asked) else threads),
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8",  # what a cell prints goes to a file, whatever the terminal can show
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not an older one in the home folder
    }
    for name in (
        "MPLBACKEND",
        "PYTHONSTARTUP",
    ):  # a backend such as Agg would keep figures out of the notebook
        environment.pop(name, None)
    return environment | _own_settings(folder)


def _own_settings(folder: Path) -> dict[str, str]:
    """Return variables that keep a kernel from its user's IPython profile and matplotlibrc.

    Its connection file too lies in the run's folder: the home folder may be read-only, or missing. There
    Matplotlib's list of fonts is kept beside the runs.
    """
    settings = folder / SETTINGS
    own = dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"), str(settings))
    own["MATPLOTLIBRC"] = str(settings / "matplotlibrc")
    if "MPLCONFIGDIR" not in os.environ and not _can_write(os.path.expanduser("~")):
        own["MPLCONFIGDIR"] = str(paths.runs_dir() / ".matplotlib")
    return own


def _can_write(folder: str) -> bool:
    return os.path.isabs(folder) and os.access(folder, os.W_OK | os.X_OK)


def _show(worker: _Worker) -> None:
    """Bring a progress bar up to date, above it whatever the chapter announced since."""
    lines = _read(worker.folder / "announcements").splitlines()
    for line in lines[worker.announced :]:
        _say(f"{worker.job.label}: {line}")
    worker.announced = len(lines)
    if worker.bar.disable:
        return
    worker.bar.n = int(_read(worker.folder / "progress") or 0)
    worker.bar.set_postfix_str(_read(worker.folder / "status")[:60], refresh=False)
    worker.bar.refresh()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""


def _finish(worker: _Worker) -> bool:
    """Record how a job ended, move its folder to its place and say so; return whether it is complete."""
    _show(worker)
    worker.bar.close()
    worker.process.stdin.close()
    job, folder = worker.job, worker.folder
    outcome = _outcome(worker)
    executed = notebooks.read(folder / "executed.ipynb") if (folder / "executed.ipynb").is_file() else None
    complete = outcome["complete"] and executed is not None and notebooks.is_complete(executed)
    if outcome["complete"] and not complete:
        outcome["error"] = "papermill reported success, but some cells did not run"
    target = job.folder if complete else job.failed_folder
    if executed is not None:
        executed.metadata["papermill"] |= {
            "input_path": f"notebooks/{job.notebook}.ipynb",
            "output_path": paths.shown(target / "executed.ipynb"),
        }
        nbformat.write(
            notebooks.with_outputs(job.source, executed) if complete else executed, folder / "executed.ipynb"
        )
    if not (folder / "results.json").is_file():
        write_atomic(folder / "results.json", '{"rows": []}\n')
    record = _record(job, outcome, complete, folder)
    if complete:
        _write_record(folder, record)
    else:
        write_atomic(folder / "run.json", json.dumps(record, indent=1) + "\n")
    _clean_log(folder / "log.txt")
    shutil.rmtree(folder / SETTINGS, ignore_errors=True)
    for path in folder.iterdir():
        if path.name in ("job.json", "source.ipynb", "outcome.json", "progress", "status", "announcements"):
            path.unlink()
    _publish(folder, target)
    if complete:
        shutil.rmtree(job.failed_folder, ignore_errors=True)
        _say(f"{job.label}: done in {duration(outcome['wall_s'])} ({paths.shown(target)})")
    else:
        _tell_failure(job, outcome)
    return complete


def _outcome(worker: _Worker) -> dict[str, Any]:
    """Return what the process said of its end, or what can be known if it said nothing."""
    try:
        return json.loads((worker.folder / "outcome.json").read_text("utf-8"))
    except (OSError, ValueError):
        done = int(_read(worker.folder / "progress") or 0)
        error = f"its process ended with status {worker.process.returncode}"
        return {"complete": False, "cell": done + 1, "error": error, "wall_s": None}


def _record(job: Job, outcome: Mapping[str, Any], complete: bool, folder: Path) -> dict[str, Any]:
    """Return the content of run.json."""
    commit, dirty = provenance.commit(paths.root())
    record = {
        "notebook": job.notebook,
        "profile": job.profile,
        "parameters": dict(job.values),
        "seeds": job.values.get("seeds", job.values.get("seed")),
        "commit": commit,
        "dirty": dirty,
        "versions": provenance.versions(),
        "platform": provenance.machine(),
        "cpu_count": provenance.cores(),
        "device": json.loads((folder / "results.json").read_text("utf-8")).get("device"),
        "data": job.data,
        "started": outcome.get("started"),
        "wall_s": outcome["wall_s"],
        "cpu_s": outcome.get("cpu_s"),
        "peak_memory_mb": outcome.get("peak_memory_mb"),
        "command": job.command,
        "hash": job.hash,
        "code": notebooks.code_hash(job.source),
        "complete": complete,
    }
    return record if complete else record | {"cell": outcome.get("cell"), "error": outcome["error"]}


def _clean_log(path: Path) -> None:
    """Drop the line that every kernel prints and nobody can act on."""
    lines = path.read_text("utf-8", errors="replace").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if _NOISE not in line), "utf-8")


def _publish(folder: Path, target: Path) -> None:
    """Put `folder` in the place of `target`; at every moment one of the two is there."""
    aside = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        os.replace(target, aside)
    os.replace(folder, target)
    shutil.rmtree(aside, ignore_errors=True)


def _tell_failure(job: Job, outcome: Mapping[str, Any]) -> None:
    where = f" in cell {outcome['cell']}" if outcome.get("cell") else ""
    tqdm.write(f"{job.label}: failed{where}: {outcome['error']}", file=sys.stderr)
    tqdm.write(f"  log: {paths.shown(job.failed_folder / 'log.txt')}", file=sys.stderr)
    if job.folder.exists():
        tqdm.write(f"  the earlier complete run stays in {paths.shown(job.folder)}", file=sys.stderr)


def _stop(workers: Sequence[_Worker]) -> None:
    """End the processes and kernels of jobs under way and remove their folders."""
    for worker in workers:
        worker.bar.close()
        try:
            process = psutil.Process(worker.process.pid)
            family = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        worker.process.wait()
        psutil.wait_procs(family, timeout=5)
        shutil.rmtree(worker.folder, ignore_errors=True)
