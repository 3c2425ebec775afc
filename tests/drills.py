"""Faults on purpose, counted: `python -m tests.drills` (minutes; not part of the suite).

Each drill breaks something many times and counts losses: results that differ from an undisturbed run's, a
process left behind, damage that is believed, an error that is no plain sentence. Named drills run alone;
`--share 0.2` runs a fifth of the tries. The figures go to benchmarks/results.json and results.md. Linux;
disks, clock and network are drilled by root only, the clock where Debian's faketime is installed.
"""

import argparse
import contextlib
import json
import os
import pickle
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from bs4 import BeautifulSoup

from companion.publishing.paths import UserError
from companion.publishing.running import parameters, runner
from tests.chapter import ROOT
from tests.publishing.conftest import Checkout

PARAMETERS = """\
eps: float = 0.5  # in (0, inf): radius
steps: int = 4  # in [1, 100]: steps
strong: bool = True  # use the strong protocol
seeds: list[int] = [0, 1]  # in [0, inf): seeds
norm: str = "l2"  # one of l2, linf, folder:PATH: the norm
note: str = "plain"  # any text
"""
CELLS = [f"import time\ntime.sleep(0.1)\nrun.record('T1', 'step', {i} * eps, cell={i})" for i in range(8)]
RUN = [sys.executable, "-m", "companion.publishing", "run", "small"]
#: Two nets in two processes; prints the weights' hashes.
TRAIN = """
from companion import store
from companion.store.nets import weights_hash
from companion.training import Recipe, part
if __name__ == "__main__":
    data = part("digits", n_train=600)
    nets = [Recipe(data, part("digits_cnn"), epochs=3, seed=seed) for seed in (0, 1, 2)]
    store.train_all(nets, jobs=2)
    print([weights_hash(net) for net in nets])
"""

Losses = list[str]
Drill = Callable[[Path, int], Losses]


def checkout(folder: Path) -> Checkout:
    """A checkout with one small chapter, whose name COMPANION_ROOT says."""
    (folder / "src" / "companion").mkdir(parents=True)
    (folder / "src" / "companion" / "losses.py").write_text("X = 1\n")
    (folder / "pyproject.toml").touch()
    (folder / "notebooks" / "profiles" / "quick").mkdir(parents=True)
    os.environ["COMPANION_ROOT"] = str(folder)
    small = Checkout(folder)
    small.notebook("small", *CELLS, parameters=PARAMETERS)
    return small


def rows(folder: Path) -> object:
    return json.loads((folder / "results.json").read_text("utf-8"))["rows"]


def family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def gone(processes: list[psutil.Process], seconds: float = 20) -> bool:
    return not psutil.wait_procs([p for p in processes if p.is_running()], timeout=seconds)[1]


def disturbed(
    small: Checkout, tries: int, strike: Callable[[random.Random, subprocess.Popen], None]
) -> Losses:
    """Disturb runs at random moments; after each, nothing half done may be there; the next run goes on."""
    folder, draw, losses = small.folder("small"), random.Random(0), []
    subprocess.run(RUN, check=True, capture_output=True)
    reference, took = rows(folder), runner.read_record(folder)["wall_s"] + 2
    for number in range(tries):
        shutil.rmtree(folder, ignore_errors=True)
        process = subprocess.Popen(RUN, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        of = psutil.Process(process.pid)
        time.sleep(draw.uniform(0.3, took))
        processes = family(of)
        strike(draw, process)
        _, said = process.communicate(timeout=60)
        if not gone(processes):
            losses.append(f"{number}: a process stayed")
        if "Traceback" in said:
            losses.append(f"{number}: {said.strip().splitlines()[-1]}")
        if folder.exists() and rows(folder) != reference:
            losses.append(f"{number}: half a run under its name")
        if number % 5 == 4:
            done = subprocess.run(RUN, capture_output=True, text=True)
            left = [p.name for p in folder.parent.glob(".*")]
            if done.returncode or rows(folder) != reference or left:
                losses.append(f"{number}: the next run did not put it right: {done.stderr} {left}")
    return losses


def kills(folder: Path, tries: int) -> Losses:
    """kill -9 of runner, of the process that executes, or of the kernel, at a random moment of a chapter"""

    def strike(draw: random.Random, process: subprocess.Popen) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            draw.choice(family(psutil.Process(process.pid))).kill()

    return disturbed(checkout(folder), tries, strike)


def signals(folder: Path, tries: int) -> Losses:
    """Ctrl-C or SIGTERM at a random moment of a chapter"""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # heard, even behind "&"
    try:
        return disturbed(
            checkout(folder),
            tries,
            lambda draw, process: process.send_signal(draw.choice([signal.SIGINT, signal.SIGTERM])),
        )
    finally:
        signal.signal(signal.SIGINT, before)


def workers(folder: Path, tries: int) -> Losses:
    """kill -9 of a process that trains nets, or of its worker, at a random moment"""
    losses, draw = [], random.Random(1)
    script = folder / "train.py"
    script.write_text(TRAIN)

    def whole(store: str) -> str:
        environment = {**os.environ, "COMPANION_STORE": str(folder / store)}
        return subprocess.run(
            [sys.executable, script], env=environment, capture_output=True, text=True
        ).stdout

    began = time.monotonic()
    reference = whole("reference")
    took = time.monotonic() - began
    for number in range(tries):
        process = subprocess.Popen(
            [sys.executable, script],
            env={**os.environ, "COMPANION_STORE": str(folder / "struck")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(draw.uniform(0.3 * took, took))
        processes = family(psutil.Process(process.pid))
        with contextlib.suppress(psutil.NoSuchProcess):
            draw.choice(processes or [psutil.Process(process.pid)]).kill()
        process.wait(60)
        if not gone(processes):
            losses.append(f"{number}: a process stayed")
        if number % 3 == 2 or number == tries - 1:
            if not reference or whole("struck") != reference:
                losses.append(f"{number}: other weights than undisturbed")
            shutil.rmtree(folder / "struck", ignore_errors=True)
    return losses


def bad_parameters(folder: Path, tries: int) -> Losses:
    """generated parameters: each is refused in one line, or read as a value of its type and domain"""
    checkout(folder)
    draw, losses = random.Random(2), []
    declared = parameters.declared(PARAMETERS)
    odd = [
        "nan",
        "inf",
        "-1",
        "0",
        "1e999",
        "1/0",
        "8/0x",
        "",
        " ",
        ",",
        "[",
        "[]",
        "[1",
        "{a: 1}",
        "0,0",
        "é",
        "\u202e1",
        "\n",
    ]
    odd += [
        "true",
        "None",
        "1" * 5000,
        "1_000",
        "0x10",
        "١",
        "1e-400",
        "'",
        '"',
        "<b>",
        "../../x",
        "folder:",
        "$(x)",
        "\x00",
        "--",
    ]
    for _ in range(tries):
        name = draw.choice([*declared, "Eps", "sed", "", "n\u00f6te", "eps ", "\u202eeps", "__class__"])
        value = "".join(draw.choice([*odd, *"0123456789.,-e[]"]) for _ in range(draw.randint(1, 4)))
        given = draw.choice([f"{name}={value}"] * 9 + [value])
        try:
            (job,) = runner.plan(["small"], "quick", (), [given])
        except UserError as error:
            if "Traceback" in str(error) or len(str(error)) > 500:
                losses.append(f"{given!r}: {str(error)[:80]}")
            continue
        except Exception as error:
            losses.append(f"{given!r}: {type(error).__name__}: {error}")
            continue
        for parameter in declared.values():
            read = job.values[parameter.name]
            if parameter.coerce(read) != read or type(read) is not type(parameter.default):
                losses.append(f"{given!r}: read as {read!r}")
        repeated = runner.plan(["small"], "quick", (), [f"{k}={v}" for k, v in _given(job)])[0]
        if repeated.hash != job.hash:
            losses.append(f"{given!r}: its own command means another run")
    return losses


def _given(job: runner.Job) -> list[list[str]]:
    words = shlex.split(job.command)
    return [word.split("=", 1) for before, word in zip(words, words[1:], strict=False) if before == "-p"]


def damage(draw: random.Random, path: Path, other: bytes) -> str:
    """Damage a file in one of four ways; returns which."""
    content = path.read_bytes()
    kind = draw.choice(["truncated", "bit flipped", "empty", "swapped"])
    if kind == "truncated":
        path.write_bytes(content[: draw.randrange(len(content))])
    elif kind == "bit flipped":
        where = draw.randrange(len(content))
        path.write_bytes(
            content[:where] + bytes([content[where] ^ (1 << draw.randrange(8))]) + content[where + 1 :]
        )
    else:
        path.write_bytes(b"" if kind == "empty" else other)
    return kind


def _kind(path: Path) -> tuple[bool, list[str]]:
    return path.name.startswith("measured"), path.suffixes


def _beside(path: Path) -> Path:
    """The note of a file, or the file of a note."""
    name = path.name.split(".")[0]
    ends = {".safetensors": ".json", ".note.json": ".json"}
    ends[".json"] = ".note.json" if name.startswith("measured") else ".safetensors"
    return path.with_name(name + ends["".join(path.suffixes)])


def damaged_store(folder: Path, tries: int) -> Losses:
    """damaged weights, notes, measurements, another's in their place: noticed and made again"""
    import torch

    from companion import metrics, store
    from companion.training import Recipe, part

    os.environ["COMPANION_STORE"] = str(folder / "store")
    first, second = (
        Recipe(part("digits", n_train=200), part("mlp", hidden=(16, 16)), epochs=1, seed=seed)
        for seed in (0, 1)
    )
    measured = lambda recipe: store.measure(metrics.clean_accuracy, recipe)  # noqa: E731
    weights = [p.clone() for p in store.get(first).parameters()]
    store.get(second)
    values = measured(first), measured(second)
    files = sorted(path for path in (folder / "store").iterdir() if path.suffix in (".json", ".safetensors"))
    whole = {path: path.read_bytes() for path in files}
    draw, losses = random.Random(3), []
    for number in range(tries):
        for path, content in whole.items():
            path.write_bytes(content)
        path = draw.choice(files)
        alike = [p for p in files if _kind(p) == _kind(path) and p != path]
        other = draw.choice(alike)
        kind = damage(draw, path, whole[other])
        if kind == "swapped" and draw.random() < 0.5:  # the file beside it too, so that its checksum is right
            kind = "swapped with its note"
            _beside(path).write_bytes(whole[_beside(other)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                same = all(
                    torch.equal(a, b) for a, b in zip(store.get(first).parameters(), weights, strict=True)
                )
                if not same or (measured(first), measured(second)) != values:
                    losses.append(f"{number}: {kind} {path.name} was believed")
            except Exception as error:
                losses.append(f"{number}: {kind} {path.name}: {type(error).__name__}: {error}")
    return losses


def damaged_runs(folder: Path, tries: int) -> Losses:
    """damaged results.json, run.json, executed.ipynb: the run is not called up to date"""
    small = checkout(folder)
    small.notebook("other", *CELLS, parameters=PARAMETERS)
    subprocess.run([*RUN, "other"], check=True, capture_output=True)
    (job,) = runner.plan(["small"], "quick")
    draw, losses = random.Random(4), []
    for number in range(tries):
        name = draw.choice(["results.json", "run.json", "executed.ipynb"])
        path = job.folder / name
        content, other = path.read_bytes(), (small.folder("other") / name).read_bytes()
        kind = damage(draw, path, other)
        try:
            if path.read_bytes() != content and runner.is_up_to_date(job):
                losses.append(f"{number}: {kind} {name} was believed")
        except Exception as error:
            losses.append(f"{number}: {kind} {name}: {type(error).__name__}: {error}")
        path.write_bytes(content)
    path.write_bytes(b"{")
    subprocess.run(RUN, check=True, capture_output=True)
    return losses + ([] if runner.is_up_to_date(job) else ["a damaged run was not made again"])


def damaged_data(folder: Path, tries: int) -> Losses:
    """a damaged file of images is refused"""
    from companion.data import sources

    draw, losses = random.Random(5), []
    copy = folder / "mnist_small.npz"
    original = sources.MNIST_SMALL.read_bytes()
    for number in range(-1, tries):  # first the whole file
        copy.write_bytes(original)
        kind = damage(draw, copy, original[::-1]) if number >= 0 else "whole"
        script = (
            "import pathlib; from companion.data import packaged\n"
            f"packaged.MNIST_SMALL = pathlib.Path({str(copy)!r})\n"
            "from companion import data; of = data.load('mnist_small')\n"
            "print([t.double().sum().item() for t in (of.x_train, of.y_train, of.x_test, of.y_test)])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        if number < 0:
            reference = done.stdout
        elif done.stdout != reference and "install the package again" not in done.stderr:
            losses.append(f"{number}: {kind}: {done.stdout}{done.stderr[-200:]}")
    return losses


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A small disk of its own."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def full_disk(folder: Path, tries: int) -> Losses:
    """a disk that is full: one line says so, nothing half done counts, with room again the run completes"""
    small, losses = checkout(folder / "checkout"), []
    with mounted(folder, "400k") as disk:
        (small.root / "runs").symlink_to(disk)
        for number in range(tries):
            room = 8 * number  # KiB left
            free = shutil.disk_usage(disk).free
            (disk / "filler").write_bytes(bytes(max(0, free - 1024 * room)))
            done = subprocess.run(RUN, capture_output=True, text=True)
            complete = small.folder("small").exists()
            if "Traceback" in done.stderr or (done.returncode == 0) != complete:
                losses.append(f"{room} KiB left: {done.returncode} {done.stderr.strip().splitlines()[-1:]}")
            (disk / "filler").unlink()
            again = subprocess.run(RUN, capture_output=True, text=True)
            if again.returncode or len(rows(small.folder("small"))) != len(CELLS):
                losses.append(f"{room} KiB left: the next run failed: {again.stderr.strip()[-200:]}")
            shutil.rmtree(small.folder("small"), ignore_errors=True)
    return losses


def read_only_store(folder: Path, tries: int) -> Losses:
    """a store on a read-only disk: its nets are served, a missing one is refused before it is trained"""
    from companion import store
    from companion.training import Recipe, part

    losses = []
    there = Recipe(part("digits", n_train=200), part("mlp", hidden=(16, 16)), epochs=1)
    with mounted(folder, "10m") as disk:
        os.environ["COMPANION_STORE"] = str(disk)
        store.get(there)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for seed in range(tries):
            store.get(there)
            try:
                store.get(Recipe(there.data, there.model, epochs=1, seed=seed + 1))
                losses.append("a net was trained that could not be kept")
            except PermissionError as error:
                if "read-only" not in str(error):
                    losses.append(str(error))
    return losses


def clock_back(folder: Path, tries: int) -> Losses:
    """the clock set back by days between two runs: same rows, up to date stays up to date"""
    losses: Losses = []
    checkout(folder)
    for number in range(tries):
        subprocess.run([*RUN, "-p", f"steps={number + 1}"], check=True, capture_output=True)
        (job,) = runner.plan(["small"], "quick", (), [f"steps={number + 1}"])
        reference = rows(job.folder)
        for force in ([], ["--force"]):
            command = ["faketime", "-f", f"-{number + 1}d", *RUN, "-p", f"steps={number + 1}", *force]
            done = subprocess.run(command, capture_output=True, text=True)
            if (
                done.returncode
                or rows(job.folder) != reference
                or ("1 up to date" in done.stdout) == bool(force)
            ):
                losses.append(f"{number}: {done.stdout} {done.stderr}")
    return losses


def two_at_once(folder: Path, tries: int) -> Losses:
    """two runs of one chapter started together: one runs, the other says so or finds it done"""
    small, losses = checkout(folder), []
    for number in range(tries):
        both = [
            subprocess.Popen(RUN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
        ]
        ended = [process.communicate(timeout=120) for process in both]
        codes = sorted(process.returncode for process in both)
        said = "".join(err for _, err in ended)
        fine = codes == [0, 0] or (codes == [0, 2] and "is already being run" in said)
        if not fine or len(rows(small.folder("small"))) != len(CELLS) or "Traceback" in said:
            losses.append(f"{number}: {codes} {said}")
        shutil.rmtree(small.folder("small"))
    return losses


def two_versions(folder: Path, tries: int) -> Losses:
    """two versions of the package on one store: each finds its own nets and none of the other's"""
    losses, found = [], []
    script = folder / "train.py"
    script.write_text(TRAIN.replace("(0, 1, 2)", "(0,)"))
    shutil.copytree(ROOT / "src", folder / "other", ignore=shutil.ignore_patterns("__pycache__"))
    loss = folder / "other" / "companion" / "training" / "loop.py"
    loss.write_text(loss.read_text("utf-8") + "\nANOTHER_VERSION = True\n")
    for source in [ROOT / "src", folder / "other"] * (1 + tries // 2):
        environment = {**os.environ, "COMPANION_STORE": str(folder / "store"), "PYTHONPATH": str(source)}
        done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
        found.append((done.stdout, len(list((folder / "store").glob("*.safetensors")))))
    if [nets for _, nets in found] != [1] + [2] * (len(found) - 1) or len({said for said, _ in found}) != 1:
        losses.append(f"{found}")
    return losses


def no_network(folder: Path, tries: int) -> Losses:
    """no network but the machine itself: the chapter runs"""
    losses: Losses = []
    checkout(folder)
    for number in range(tries):
        command = f"ip link set lo up && {' '.join(RUN)} -p steps={number + 1}"
        done = subprocess.run(["unshare", "--net", "sh", "-c", command], capture_output=True, text=True)
        if done.returncode:
            losses.append(done.stderr)
    return losses


HOSTILE = (
    "<script>window.struck=1</script>", '"><img src=x onerror=window.struck=1>', "'><b>", "</td></table><i>",
    "&lt;b&gt;<u>", "a\nb<br>", "\u202e<s>", "{{7*7}}<a href=javascript:1>", "<!--", "]]><object data=x>",
    "`<code>`", "\\<em>",
)  # fmt: skip


def hostile_text(folder: Path, tries: int) -> Losses:
    """markup, quotes, newlines, right-to-left marks in labels, parameters, names: stay text"""
    from companion.publishing.pages import badges, side_by_side, tables
    from companion.publishing.running import chapter

    checkout(folder)
    losses = []
    for number in range(tries):
        text = HOSTILE[number % len(HOSTILE)] + "x" * (number // len(HOSTILE))
        declared = parameters.declared(PARAMETERS)
        os.environ["COMPANION_RUN_DIR"] = str(folder / "run")
        run = chapter.Run(
            "small", folder / "run", declared, {k: p.default for k, p in declared.items()} | {"note": text}
        )
        del os.environ["COMPANION_RUN_DIR"]
        run.set_device(text)
        row = {"experiment": text, "quantity": text, "value": 1.0, text: text}
        check = {"id": "R1", "name": text, "status": "flagged", "value": 1, "sentence": text}
        sweep = {"setting": {text: text}, "rows": [row], "record": {"command": text}, "command": text}
        shown = {
            "strip": run.provenance_strip()._repr_html_(),
            "badge": badges.Checked(text, [check])._repr_html_(),
            "badges": badges.table([badges.Checked(text, [check])], caption="")._repr_html_(),
            "cell": tables.plain(text) + tables.number(1.0, below={text: 2.0}),
            "sweep": side_by_side.page(text, [sweep]),
        }
        for where, page in shown.items():
            names = {element.name for element in BeautifulSoup(page, "html.parser").find_all(True)}
            if struck := names & {"script", "img", "u", "s", "em", "i", "a", "object"} | (
                {"b"} & names if where in ("cell", "sweep") else set()
            ):
                losses.append(f"{where}: {text!r} became {struck}")
    return losses


class Planted:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: str):
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (open, (self.mark, "w"))


def planted_pickles(folder: Path, tries: int) -> Losses:
    """a pickle named as weights, measurement or checkpoint, its checksum right: never unpickled"""
    import hashlib

    from companion import metrics, store
    from companion.training import Recipe, part

    os.environ["COMPANION_STORE"] = str(folder / "store")
    recipe = Recipe(part("digits", n_train=200), part("mlp", hidden=(16, 16)), epochs=1)
    store.measure(metrics.clean_accuracy, recipe)
    mark = folder / "mark"
    content = pickle.dumps(Planted(str(mark)))
    checksum = hashlib.sha256(content)
    files = [p for p in (folder / "store").iterdir() if p.suffix == ".safetensors" or p.name.count(".") == 1]
    for _ in range(tries):
        for path in [p for p in files if p.suffix == ".safetensors" or "measured" in p.name]:
            path.write_bytes(content)
            note = path.with_suffix(".json") if path.suffix != ".json" else path.with_suffix(".note.json")
            note.write_text(json.dumps({"sha256": checksum.hexdigest()}))
            with contextlib.suppress(Exception):  # whatever it says; it must not run
                store.measure(metrics.clean_accuracy, recipe)
            path.unlink()
            path.with_suffix(".partial").write_bytes(checksum.digest() + content)
            with contextlib.suppress(Exception):
                store.get(recipe)
            path.with_suffix(".partial").unlink(missing_ok=True)
    return [f"{mark} is there"] if mark.exists() else []


NOTE = (
    "Made by `python -m tests.drills`. A loss: results that differ from an undisturbed run's, a process left "
    "behind, damage that is believed, an error that is no plain sentence. With the package as it was before "
    "these drills, of the same 100 damaged runs 76 were believed, of the 100 damages to the store 11; Ctrl-C "
    "in the first second showed a traceback in 1 of 6 tries, a full disk in 2 of 3, without loss of results."
)
FACTS = ("date", "commit", "python", "versions", "processor", "cores", "load at start")
#: Tries of each drill.
DRILLS: dict[str, tuple[Drill, int]] = {
    "kills": (kills, 50),
    "signals": (signals, 20),
    "workers": (workers, 20),
    "bad parameters": (bad_parameters, 1000),
    "damaged store": (damaged_store, 100),
    "damaged runs": (damaged_runs, 100),
    "damaged data": (damaged_data, 10),
    "full disk": (full_disk, 6),
    "read-only store": (read_only_store, 5),
    "clock back": (clock_back, 3),
    "two at once": (two_at_once, 5),
    "two versions": (two_versions, 4),
    "no network": (no_network, 2),
    "hostile text": (hostile_text, 36),
    "planted pickles": (planted_pickles, 3),
}
ROOT_ONLY = ("full disk", "read-only store", "clock back", "no network")


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    options.add_argument("drills", nargs="*", metavar="drill", help=f"of {', '.join(DRILLS)}")
    options.add_argument("--share", type=float, default=1.0, help="of the tries (default 1)")
    chosen = options.parse_args()
    if unknown := set(chosen.drills) - set(DRILLS):
        options.error(f"no drill {', '.join(sorted(unknown))}; there are {', '.join(DRILLS)}")
    found = []
    for name in chosen.drills or DRILLS:
        drill, tries = DRILLS[name]
        tries = max(1, round(tries * chosen.share))
        if name in ROOT_ONLY and os.geteuid() != 0:
            print(f"{name}: left out, needs root", flush=True)
            continue
        before, began = dict(os.environ), time.monotonic()
        with tempfile.TemporaryDirectory(prefix="drill-") as folder:
            try:
                losses = drill(Path(folder), tries)
            finally:
                os.environ.clear()
                os.environ.update(before)
        seconds = round(time.monotonic() - began)
        print(
            f"{name}: {tries} tries, {len(losses)} losses, {seconds} s",
            *(loss[:300] for loss in losses[:10]),
            sep="\n  ",
            flush=True,
        )
        found.append(
            {"drill": name, "what": drill.__doc__, "tries": tries, "losses": len(losses), "seconds": seconds}
        )
    keep(found)
    return int(any(row["losses"] for row in found))


def keep(found: list[dict[str, object]]) -> None:
    """Put the figures among the benchmarks; drills that did not run this time keep theirs."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import common

    path = ROOT / "benchmarks" / "results.json"
    results = json.loads(path.read_text("utf-8"))
    ran = {row["drill"]: row for row in found}
    before = results.get("drills", {"tables": [{"rows": []}]})["tables"][0]["rows"]
    rows = {row["drill"]: row for row in before} | ran
    table = common.Table("Faults on purpose", NOTE, [rows[name] for name in DRILLS if name in rows])
    lost = sum(row["losses"] for row in table.rows)
    table.judge("losses", lost, lost == 0)
    facts = {key: value for key, value in common.environment().items() if key in FACTS}
    results["drills"] = {"provenance": facts, "tables": [table.as_dict()]}
    common.write(results, path)


if __name__ == "__main__":
    sys.exit(main())
