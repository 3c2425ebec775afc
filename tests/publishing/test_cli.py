"""The command line up to the first kernel: mistakes cost one line, status 2, and nothing is started."""

import shlex
import subprocess
import sys
import types

import pytest

import companion
from companion.publishing import cli
from companion.publishing.running import runner

from .conftest import WORK


@pytest.fixture
def small(checkout, monkeypatch):
    """Return a checkout with two notebooks, in which no process may be started."""

    def refuse(*arguments):
        raise AssertionError("a process was started")

    monkeypatch.setattr(runner, "_start", refuse)
    checkout.notebook("boundary_tilting", WORK)
    checkout.notebook("noise_modulation", WORK)
    checkout.profile("smoke", "boundary_tilting", "steps: 1\n")
    return checkout


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    """Run the command line here; return status, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def refused(capsys, *arguments: str) -> str:
    """Return the one line that refuses a command."""
    status, out, err = call(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("companion: ") and err.endswith("\n") and err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (
            "boundary_tilting -p lambda_dd=3",
            "has no parameter 'lambda_dd' (from -p); did you mean 'lambda_d'?",
        ),
        (
            "boundary_tilting -p eps=abc",
            "eps = abc (from -p): write a finite number such as 0.5, 1e-3 or 8/255",
        ),
        ("boundary_tilting -p eps=-1", "eps = -1 (from -p): must be in (0, inf)"),
        ("boundary_tilting -p eps=inf", "eps = inf (from -p): write a finite number"),
        ("boundary_tilting -p steps=2.5", "steps = 2.5 (from -p): write a whole number"),
        ("boundary_tilting -p steps=true", "steps = true (from -p): write a whole number"),
        ("boundary_tilting -p strong=maybe", "strong = maybe (from -p): write true or false"),
        ("boundary_tilting -p radii=0.1,2", "radii = 0.1,2 (from -p): 2.0 must be in (0, 1]"),
        ("boundary_tilting -p seeds=0,0", "seeds = 0,0 (from -p): 0 is given twice; write each value once"),
        (
            "boundary_tilting -p seeds=[]",
            "seeds = [] (from -p): write whole numbers such as 0,1,2, at",
        ),
        (
            "boundary_tilting -p dataset=mnsit",
            "must be one of digits, mnist, folder:PATH; did you mean 'mnist'?",
        ),
        ("boundary_tilting -p eps", "-p eps: write -p NAME=VALUE"),
        ("boundary_tilting --profile quik", "no profile 'quik'; did you mean 'quick'?"),
        ("noise_modulation --profile smoke", "noise_modulation has no profile 'smoke'"),
        ("boundary_titling", "no notebook 'boundary_titling' in notebooks; did you mean 'boundary_tilting'?"),
        ("boundary_tilting -f none.yaml", "none.yaml: cannot be read"),
        ("boundary_tilting --profil quick", "No such option '--profil'"),
        ("boundary_tilting --jobs 0", "0 is not in the range x>=1"),
    ],
)
def test_mistakes(small, capsys, arguments, said):
    assert said in refused(capsys, "run", *arguments.split())
    assert not (small.root / "runs").exists()


def test_a_mistake_in_a_profile_names_the_file(small, capsys):
    small.profile("quick", "boundary_tilting", "eps: 0.1\nstep: 3\n")
    line = refused(capsys, "run", "boundary_tilting")
    assert (
        "no parameter 'step' (from notebooks/profiles/quick/boundary_tilting.yaml); did you mean 'steps'"
        in line
    )


def test_a_mistake_in_a_file_names_the_file(small, capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text("eps: off\n")
    assert "mine.yaml): write a finite number" in refused(
        capsys, "run", "boundary_tilting", "-f", str(tmp_path / "mine.yaml")
    )


def test_one_bad_notebook_stops_all(small, capsys):
    small.notebook("noise_modulation", WORK, parameters="sigma: float = 1.0")
    assert "noise_modulation has no parameter 'eps'" in refused(capsys, "run", "-p", "eps=1")


def test_a_notebook_without_parameters_cell(small, capsys):
    path = small.root / "notebooks" / "noise_modulation.ipynb"
    path.write_text(path.read_text("utf-8").replace('"parameters"', '"other"'), "utf-8")
    assert "0 cells are tagged 'parameters'" in refused(capsys, "run", "noise_modulation")
    path.write_text("not json", "utf-8")
    assert "notebooks/noise_modulation.ipynb: not a notebook" in refused(capsys, "run", "noise_modulation")


def test_missing_data(small, capsys, monkeypatch):
    class DataMissing(ValueError):
        pass

    def require(name):
        raise DataMissing(f"{name} is not here;\n fetch it")

    stub = types.SimpleNamespace(require=require)
    monkeypatch.setattr(companion, "data", stub, raising=False)
    monkeypatch.setitem(sys.modules, "companion.data", stub)
    line = refused(capsys, "run", "boundary_tilting", "-p", "dataset=mnist")
    assert line == "companion: mnist is not here; fetch it\n"
    # Wrong parameters come first: they cost nothing to find.
    assert "eps = 0" in refused(capsys, "run", "boundary_tilting", "-p", "dataset=mnist", "-p", "eps=0")


def test_a_mistake_does_not_wait_for_torch(small):
    script = """if True:
        import sys
        from companion.publishing.cli import main
        try:
            main(["run", "boundary_tilting", "-p", "x=1"])
        except SystemExit as ended:
            print(ended.code, "torch" in sys.modules, "papermill" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "2 False False\n"


def test_without_a_command_the_help_is_shown(small, capsys):
    status, out, err = call(capsys)
    assert (status, err) == (0, "") and "check-site" in out and out.count("\n") > 10


def test_module_form(small):
    call = [sys.executable, "-m", "companion.publishing.cli", "run", "nothing"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("companion: no notebook 'nothing'")


def test_precedence(small, tmp_path):
    (tmp_path / "a.yaml").write_text("steps: 20\neps: 8/255\nlambda_d: 1e-3\n")
    (tmp_path / "b.yaml").write_text("eps: 0.25\n")
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    (job,) = runner.plan(["boundary_tilting"], "quick", files, ["steps=30", "steps=31"])
    assert job.values == {
        "eps": 0.25,  # the later file
        "lambda_d": 1e-3,  # the first file, as text in YAML 1.1
        "steps": 31,  # the later -p
        "strong": True,  # the default
        "seeds": [0],  # the profile
        "radii": [0.25, 8 / 255],
        "dataset": "digits",
        "note": "plain",
    }
    assert job.of_profile["steps"] == 10  # 010 is ten, not eight


def test_folders_and_commands(small):
    (plain,) = runner.plan(["notebooks/boundary_tilting.ipynb"], "quick", (), ["steps=10.0", "eps=1e-1"])
    assert plain.label == "boundary_tilting"  # the same values, written otherwise
    assert plain.command == "companion run boundary_tilting --profile quick"
    other = ["seeds=1,2", "strong=false", "note=a 'b'; c", "radii=8/255"]
    (changed,) = runner.plan(["boundary_tilting"], "quick", (), other)
    name, mark = changed.label.split("@")
    assert name == "boundary_tilting" and len(mark) == 8 and set(mark) <= set("0123456789abcdef")
    # The command, split as a shell does, plans the same run.
    words = shlex.split(changed.command)
    repeated = [words[i + 1] for i, word in enumerate(words) if word == "-p"]
    (again,) = runner.plan([words[2]], words[4], (), repeated)
    assert again.values == changed.values and again.hash == changed.hash and again.label == changed.label


def test_all_notebooks_without_a_name(small):
    assert [job.notebook for job in runner.plan([], "quick")] == ["boundary_tilting", "noise_modulation"]
    twice = runner.plan(["noise_modulation", "noise_modulation.ipynb"], "quick")
    assert [job.notebook for job in twice] == ["noise_modulation"]


def test_without_a_name_a_profile_runs_the_notebooks_that_have_it(small, capsys):
    assert [job.notebook for job in runner.plan([], "smoke")] == ["boundary_tilting"]
    assert capsys.readouterr().out == "without a profile 'smoke', not run: noise_modulation\n"
    assert "no profile 'smoke2'; did you mean 'smoke'?" in refused(capsys, "run", "--profile", "smoke2")


def test_list(small, capsys):
    status, out, _ = call(capsys, "list")
    rows = [line.split() for line in out.splitlines()]
    assert status == 0 and ["boundary_tilting", "quick", "none"] in rows
    status, out, _ = call(capsys, "list", "boundary_tilting")
    assert status == 0
    for name in ("eps", "in (0, inf)", "l2 radius, pixels in [0,1]", "profile smoke: steps=1"):
        assert name in out
    assert "did you mean 'boundary_tilting'" in refused(capsys, "list", "boundary_tiling")


def test_clean(checkout, capsys):
    def exists() -> list[bool]:
        return [(checkout.root / name).exists() for name in ("_build", "runs/quick/a", "runs/store/net")]

    def fill() -> None:
        for name in ("_build", "runs/quick/a", "runs/store/net"):
            (checkout.root / name).mkdir(parents=True, exist_ok=True)

    for options, left in (
        ([], [False, True, True]),
        (["--runs"], [False, False, True]),
        (["--store"], [False, True, False]),
        (["--all"], [False, False, False]),
    ):
        fill()
        assert call(capsys, "clean", *options)[0] == 0
        assert exists() == left


def test_build_refuses_other_versions_of_jupyter_book(small, capsys, monkeypatch):
    monkeypatch.setattr(cli.metadata, "version", lambda name: "2.1.7")
    assert "jupyter-book 2.1.7 cannot build this book" in refused(capsys, "build")

    def missing(name):
        raise cli.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(cli.metadata, "version", missing)
    assert "jupyter-book is not installed" in refused(capsys, "build")


def test_build(small, capsys, monkeypatch):
    monkeypatch.setattr(cli.metadata, "version", lambda name: "1.0.4")
    page = small.root / "_build" / "html" / "index.html"
    stale = small.root / "_build" / "stale.html"
    calls = []

    def book(command, **settings):
        calls.append((command, settings, stale.exists()))
        page.parent.mkdir(parents=True)
        page.write_text("")
        return types.SimpleNamespace(returncode=status)

    monkeypatch.setattr(cli.subprocess, "run", book)
    done = small.folder("noise_modulation") / "executed.ipynb"
    done.parent.mkdir(parents=True)
    done.write_text("{}")
    for status in (0, 1):
        stale.parent.mkdir(parents=True, exist_ok=True)
        stale.write_text("")
        result, out, err = call(capsys, "build")
        command, settings, was_stale = calls.pop()
        assert result == status and not was_stale
        assert command[-6:] == ["build", ".", "--all", "-W", "-n", "--keep-going"]
        assert settings["cwd"] == small.root and settings["env"]["COMPANION_PROFILE"] == "quick"
        assert "companion run boundary_tilting --profile quick" in err and "noise_modulation" not in err
        assert ("open _build/html/index.html" in out) == (status == 0)
    _, _, err = call(capsys, "build", "--profile", "smoke")
    assert "noise_modulation: no results to show; it has no profile 'smoke'" in err
    assert "no profile 'quikc'" in refused(capsys, "build", "--profile", "quikc")


def test_check_site(checkout, capsys, monkeypatch):
    from companion.publishing.pages import site

    assert "run `companion build` first" in refused(capsys, "check-site")
    html = checkout.root / "_build" / "html"
    html.mkdir(parents=True)
    for found in ([], ["page a: missing", "page b: missing"]):
        monkeypatch.setattr(
            site, "problems", lambda folder, root, found=found: found if folder == html else 1 / 0
        )
        status, out, _ = call(capsys, "check-site")
        assert status == (1 if found else 0) and out.splitlines()[:-1] == found


def test_check_site_asks_where_it_was_published(checkout, capsys, tmp_path, monkeypatch):
    import functools
    import http.server
    import threading

    from companion.publishing.pages import site

    monkeypatch.setattr(site.time, "sleep", lambda seconds: None)
    html, there = checkout.root / "_build" / "html", tmp_path / "there"
    for folder in (html, there):
        (folder / "a b").mkdir(parents=True)
        for name in ("index.html", "a b/page.html", "gone.js"):
            (folder / name).write_text(name, "utf-8")
    (there / "gone.js").unlink()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=there)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *said: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        status, out, _ = call(capsys, "check-site", "--at", address + "/")
        assert (status, out.splitlines()[0]) == (1, f"gone.js: {address}/gone.js answers 404")
        (there / "gone.js").write_text("another", "utf-8")
        assert "gone.js serves another file" in call(capsys, "check-site", "--at", address)[1]
        (html / "gone.js").write_text("another", "utf-8")
        assert call(capsys, "check-site", "--at", address)[0] == 0
        server.shutdown()
    assert "does not answer" in call(capsys, "check-site", "--at", address)[1]
    assert "write an address" in refused(capsys, "check-site", "--at", "example.org")


def test_fetch(checkout, capsys, monkeypatch):
    asked = []
    stub = types.SimpleNamespace(fetch=asked.append)
    monkeypatch.setattr(companion, "data", stub, raising=False)
    monkeypatch.setitem(sys.modules, "companion.data", stub)
    assert call(capsys, "fetch", "mnist")[0] == 0 and asked == ["mnist"]

    def fail(error):
        raise error

    stub.fetch = lambda name: fail(ValueError("no data set 'x'"))
    assert "no data set 'x'" in refused(capsys, "fetch", "x")
    stub.fetch = lambda name: fail(OSError("no\nnetwork"))
    assert call(capsys, "fetch", "x") == (1, "", "companion: x was not fetched: no network\n")
