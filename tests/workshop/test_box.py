"""A workshop's box, made of a tiny checkout and tiny packages: nothing is downloaded or installed."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from companion.publishing.pages import site
from companion.publishing.paths import UserError
from companion.publishing.running import runner
from companion.publishing.workshop import box, proof, readme, start

WHAT = {"commit": "c0ffee", "profile": "quick", "system": "Linux x86_64", "python": "3.11"}
LOCK = """\
# Made for a test.
one==1.0 \\
    --hash=sha256:{one} \\
    --hash=sha256:{other}
    # via -r asked
two==2.0 ; sys_platform == 'nowhere' \\
    --hash=sha256:{two}
three[extra]==3.0 ; python_full_version >= '3.0' \\
    --hash=sha256:{three}
"""
HASHES = {word: hashlib.sha256(word.encode()).hexdigest() for word in ("one", "other", "two", "three")}


def git(root: Path, *words: str) -> None:
    call = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(root), *words]
    subprocess.run(call, check=True, capture_output=True)


@pytest.fixture
def whole(tmp_path):
    """A finished box of a few small files."""
    out = tmp_path / "a box"
    made = box.begin(out, WHAT)
    for name in ("wheels/one.whl", "companion/pyproject.toml", "student/a.ipynb", "book/index.html"):
        (out / name).parent.mkdir()
        (out / name).write_text(name, "utf-8")
    box.write_scripts(out, "3.11")
    made |= {"packages": 1, "bytes": {"wheels": 3_000_000_000, "student": 1_500_000}}
    box.finish(out, made, box.checksums(out))
    return out


# --- beginning and going on ------------------------------------------------------------------------------


def test_a_folder_that_is_no_box_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work", "utf-8")
    for made in (None, "[1, 2]", "{}", '{"commit": 1}', "not json"):
        if made is not None:
            (tmp_path / "made.json").write_text(made, "utf-8")
        if made != "{}":
            with pytest.raises(UserError, match="name another folder"):
                box.begin(tmp_path, WHAT)
    assert (tmp_path / "thesis.tex").read_text("utf-8") == "years of work"


def test_an_interrupted_box_is_gone_on_with(whole):
    made = {**json.loads((whole / "made.json").read_text("utf-8")), "proved": {"content": "abc"}}
    (whole / "made.json").write_text(json.dumps(made), "utf-8")
    assert box.begin(whole, WHAT)["proved"] == {"content": "abc"}
    assert (whole / "student" / "a.ipynb").is_file()


def test_of_a_box_of_another_commit_the_packages_are_kept(whole):
    made = box.begin(whole, {**WHAT, "commit": "decaf"})
    assert made["commit"] == "decaf" and "bytes" not in made
    assert (whole / "wheels" / "one.whl").is_file() and not (whole / "student").exists()


@pytest.mark.parametrize("key", ["system", "python"])
def test_a_box_for_another_kind_of_laptop_is_left_alone(whole, key):
    with pytest.raises(UserError, match=f"was begun for {WHAT[key]}, this is another; name another folder"):
        box.begin(whole, {**WHAT, key: "another"})
    assert start.changed(whole) == []


# --- packages --------------------------------------------------------------------------------------------


def test_the_lock_is_read_for_this_machine():
    found = box.locked([LOCK.format(**HASHES)])
    assert found == {"one==1.0": {HASHES["one"], HASHES["other"]}, "three[extra]==3.0": {HASHES["three"]}}


def test_the_real_lock_is_read_whole():
    root = Path(__file__).parents[2]
    texts = [(root / name).read_text("utf-8") for name in box.LOCKS]
    found = box.locked(texts)
    assert {"torch", "torchattacks", "jupyterlab"} <= {pin.partition("==")[0] for pin in found}
    assert all(found.values()) and not any("aiohttp==" in pin for pin in found if sys.version_info[1] != 12)
    assert len(found) > 0.8 * sum(text.count("==") - text.count("== '") for text in texts)


def test_whole_packages_are_kept_and_others_removed(tmp_path):
    wheels = box.locked([LOCK.format(**HASHES)])
    (tmp_path / "one.whl").write_text("other", "utf-8")  # the second of its two files
    (tmp_path / "three.whl").write_text("thr", "utf-8")  # cut off
    assert list(box.missing(wheels, tmp_path)) == ["three[extra]==3.0"]
    assert [path.name for path in tmp_path.iterdir()] == ["one.whl"]


def test_what_is_downloaded_is_said_before(tmp_path, monkeypatch):
    sizes = {"one==1.0": 2_000_000_000, "two==2.0": 500_000_000, "three==3.0": None}
    monkeypatch.setattr(box, "_installed", sizes.get)
    said = []
    box._announce(dict.fromkeys(sizes, {"hash"}), tmp_path / "not" / "yet", said.append)
    (line,) = said
    assert line.startswith("to download: 3 packages, less than 2.5 GB")
    assert "and 1 whose size is not known" in line and "are free" in line
    box._announce({}, tmp_path, said.append)
    assert said[-1] == "nothing to download: all packages are here"


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(box.sys, "executable", str(tmp_path / "pip"))
    (tmp_path / "pip").write_text("#!/bin/sh\necho 'WARNING: w' >&2\necho 'ERROR: no network' >&2\nexit 1\n")
    (tmp_path / "pip").chmod(0o755)
    with pytest.raises(
        UserError, match="^pip download: ERROR: no network; the same command goes on from here$"
    ):
        box._download({"one==1.0": {"hash"}}, tmp_path)


# --- the checkout ----------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "a checkout"
    (root / "src").mkdir(parents=True)
    (root / "src" / "code.py").write_text("one = 1\n", "utf-8")
    (root / ".gitignore").write_text("runs/\n", "utf-8")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def test_a_checkout_with_changes_is_refused(checkout):
    (checkout / "src" / "code.py").write_text("two = 2\n", "utf-8")
    with pytest.raises(UserError, match="^not committed: src/code.py; commit or stash it"):
        box._committed(checkout, print)


def test_a_new_file_is_refused_where_it_changes_the_runs_and_else_said(checkout):
    said = []
    (checkout / "notes.txt").touch()
    box._committed(checkout, said.append)
    assert said == ["not committed and not in the box: notes.txt"]
    (checkout / "src" / "new.py").touch()
    with pytest.raises(UserError, match="^not committed: src/new.py;"):
        box._committed(checkout, print)


def test_no_git_is_said(tmp_path):
    with pytest.raises(UserError, match="is no git checkout"):
        box._committed(tmp_path, print)


def test_the_clone_has_one_commit_and_no_way_back(checkout, tmp_path):
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    commit, target = box._committed(checkout, print), tmp_path / "out" / "companion"
    box._checkout(checkout, commit, target)
    assert box._git(target, "rev-list", "--all").split() == [commit]
    assert box._git(target, "remote") == ""
    (target / "runs").mkdir()
    (target / "runs" / "kept").touch()
    box._checkout(checkout, commit, target)  # whole, so it is left as it is
    assert (target / "runs" / "kept").exists()
    (target / "src" / "code.py").unlink()
    box._checkout(checkout, commit, target)
    assert (target / "src" / "code.py").exists()


# --- the whole -------------------------------------------------------------------------------------------


@pytest.fixture
def source(checkout, tmp_path, monkeypatch):
    """A checkout with one executed chapter, a page of it, a trained net and a page for teachers."""
    for name in box.LOCKS:
        (checkout / name).write_text("", "utf-8")
    (checkout / ".gitignore").write_text("runs/\n_build/\n", "utf-8")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "locks")
    executed = checkout / "runs" / "quick" / "a" / "executed.ipynb"
    page = checkout / "_build" / "html" / "notebooks" / "a.html"
    net = tmp_path / "store" / "net.safetensors"
    for path in (executed, net, net.with_suffix(".lock"), page):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'<meta name="{site.RUN_META}" content="quick">', "utf-8")
    job = SimpleNamespace(notebook="a", label="a", profile="quick", folder=executed.parent)
    monkeypatch.setattr(runner, "plan", lambda *given: [job])
    monkeypatch.setattr(runner, "is_up_to_date", lambda job: True)
    monkeypatch.setenv("COMPANION_ROOT", str(checkout))
    monkeypatch.setenv("COMPANION_STORE", str(net.parent))
    return checkout


PROVED = {
    "when": "2026-11-30T07:00:00+00:00",
    "network": "the network taken away",
    "install_minutes": 1.5,
    "installed_bytes": 6e9,
    "commands": 12,
    "session_minutes": 3.5,
}


def test_a_box_is_made_proved_once_and_gone_on_with(source, tmp_path, monkeypatch):
    out, proofs = tmp_path / "out", []
    answers = [KeyboardInterrupt, None, PROVED, PROVED]

    def prove(box_folder, profile, say):
        assert start.changed(box_folder) == []
        answer = answers[len(proofs)]
        proofs.append(answer)
        (box_folder / "proof.log").write_text(f"proof {len(proofs)}", "utf-8")
        if answer is KeyboardInterrupt:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(proof, "prove", prove)
    with pytest.raises(KeyboardInterrupt):
        box.make(out, "quick", print)
    assert not box.make(out, "quick", print)
    assert "**Not proved**" in (out / "README.md").read_text("utf-8")
    assert box.make(out, "quick", print) and start.changed(out) == []
    assert box.make(out, "quick", print) and len(proofs) == 3  # as it is, it was proved
    assert "12 commands" in (out / "README.md").read_text("utf-8")
    made = json.loads((out / "made.json").read_text("utf-8"))
    assert made["packages"] == 0 and made["bytes"]["companion"] > 0
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {"companion/runs/store/net.safetensors", "companion/runs/quick/a/executed.ipynb"} <= files
    assert {"book/notebooks/a.html", "start.py", "start.sh", "start.command", "start.bat"} <= files
    assert "companion/runs/store/net.lock" not in files and not any(".part" in name for name in files)
    with (source / "_build" / "html" / "notebooks" / "a.html").open("a") as page:
        page.write("more")
    assert box.make(out, "quick", print) and len(proofs) == 4


def test_runs_and_pages_that_are_not_up_to_date_are_said_before_anything_is_written(
    source, tmp_path, monkeypatch
):
    for edit, said in (
        (lambda page: os.utime(page, (0, 0)), "the pages do not show a as it is; run `companion build"),
        (lambda page: page.write_text("another profile"), "the pages do not show a as it is"),
        (
            lambda page: monkeypatch.setattr(runner, "is_up_to_date", lambda job: False),
            "not up to date: a; run",
        ),
    ):
        edit(source / "_build" / "html" / "notebooks" / "a.html")
        with pytest.raises(UserError, match=said):
            box.make(tmp_path / "out", "quick", print)
    assert not (tmp_path / "out").exists()


# --- checksums, scripts, README --------------------------------------------------------------------------


def test_checksums_name_every_file_and_find_a_changed_one(whole):
    files = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    lines = (whole / "SHA256SUMS").read_text("utf-8").splitlines()
    assert {line.partition("  ")[2] for line in lines} == files - {"SHA256SUMS"}
    assert start.changed(whole) == []
    (whole / "student" / "a.ipynb").write_text("another", "utf-8")
    (whole / "wheels" / "one.whl").unlink()
    assert start.changed(whole) == ["student/a.ipynb", "wheels/one.whl"]
    assert start.changed(whole, ("student/", "book/")) == ["student/a.ipynb"]
    with pytest.raises(UserError, match="student/a.ipynb is not what SHA256SUMS says"):
        proof.prove(whole, "quick", print)


@pytest.mark.parametrize("name", ["start.sh", "start.command"])
def test_a_start_script_is_valid_shell_and_finds_the_python(whole, name):
    assert subprocess.run(["sh", "-n", str(whole / name)]).returncode == 0
    assert os.access(whole / name, os.X_OK)


def test_start_asks_for_the_python_of_the_packages(whole):
    box.write_scripts(whole, "2.9")
    done = subprocess.run(["sh", str(whole / "start.sh")], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("start: the packages are for Python 2.9 ")
    assert "3.11" not in (whole / "start.sh").read_text("utf-8") + (whole / "start.bat").read_text("utf-8")


def test_start_copies_nothing_of_a_damaged_box(whole, tmp_path):
    (whole / "book" / "index.html").write_text("cut", "utf-8")
    call = ["sh", str(whole / "start.sh"), "--install", str(tmp_path / "here")]
    box.write_scripts(whole, box.python())
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "PYTHON": sys.executable})
    assert done.returncode == 1 and "damaged (book/index.html): copy it again" in done.stderr
    assert not (tmp_path / "here").exists()


def test_start_overwrites_nothing(whole, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(start.subprocess, "run", lambda words, **given: called.append(words))
    monkeypatch.setattr(start.Path, "touch", lambda path: path.parent.mkdir() or path.write_text(""))
    start.install(whole, tmp_path / "here")
    assert [words[3] for words in called] == ["--clear", "install", "install", "install"]
    assert all("--no-index" in words for words in called[1:])
    (tmp_path / "here" / "student" / "a.ipynb").write_text("my answer", "utf-8")
    start.install(whole, tmp_path / "here")
    assert len(called) == 4 and (tmp_path / "here" / "student" / "a.ipynb").read_text("utf-8") == "my answer"


def test_the_readme_names_what_is_there(whole):
    text = (whole / "README.md").read_text("utf-8")
    for word in ("`student/`", "1.5 MB", "`wheels/`", "3.0 GB", "Linux x86_64", "Python 3.11", "c0ffee"):
        assert word in text
    assert "`book/` |" not in text and "**Not proved**" in text
    text = readme.text({**WHAT, "packages": 1, "bytes": {}, "proved": PROVED})
    assert "the network taken away: installed from this folder in 1.5 minutes (6.0 GB on disk); every" in text
    assert len(text.splitlines()) < 60


# --- the proof -------------------------------------------------------------------------------------------

PAGE = """\
## The day before

```bash
companion workshop make OUT
```

## A session

```bash
cp -r notebooks/profiles/quick notebooks/profiles/mine
companion list noise_modulation       # what can be changed
make book
```

```yaml
# notebooks/profiles/mine/noise_modulation.yaml
beta: 0.8
```

```bash
companion run noise_modulation --profile mine
```
"""


def test_the_proof_types_what_the_page_says():
    assert proof.typed(PAGE) == [
        ["cp", "-r", "notebooks/profiles/quick", "notebooks/profiles/mine"],
        ["companion", "list", "noise_modulation"],
        (
            "notebooks/profiles/mine/noise_modulation.yaml",
            "# notebooks/profiles/mine/noise_modulation.yaml\nbeta: 0.8\n",
        ),
        ["companion", "run", "noise_modulation", "--profile", "mine"],
    ]


def test_the_proof_finds_every_profile_of_the_real_page():
    page = (Path(__file__).parents[2] / "book" / "teach.md").read_text("utf-8")
    steps = proof.typed(page)
    files = [step[0] for step in steps if isinstance(step, tuple)]
    assert len(files) == page.count("# notebooks/profiles/mine/") >= 4
    runs = [step[2] for step in steps if isinstance(step, list) and step[:2] == ["companion", "run"]]
    assert {Path(name).stem for name in files} <= set(runs)


@pytest.mark.parametrize(
    ("code", "expected", "right"), [("print('\\n0 ran, ')", "\n0 ran, ", True),
    ("print('10 ran, ')", "\n0 ran, ", False), ("import sys; sys.exit(3)", "", False)],
)  # fmt: skip
def test_a_command_of_the_proof_is_logged_and_judged(tmp_path, code, expected, right):
    log, said = tmp_path / "proof.log", []
    log.write_text("before\n", "utf-8")
    run = proof._runner(tmp_path, [], log, said.append)
    seconds = run([sys.executable, "-c", code], tmp_path, expected)
    assert (seconds is not None) == right
    assert ("done in" if right else "FAILED in") in said[0] and said[0] in log.read_text("utf-8")


@pytest.mark.skipif(not proof._works(proof._OFFLINE), reason="no unshare here")
def test_the_network_is_gone_but_for_the_machine_itself():
    code = (
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    socket.create_connection(server.getsockname(), 1).close()\n"
        "try:\n"
        "    socket.create_connection(('192.0.2.1', 80), 1)\n"
        "except OSError as error:\n"
        "    print(error.strerror)"
    )
    done = subprocess.run([*proof._OFFLINE, sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "Network is unreachable\n", done.stderr
