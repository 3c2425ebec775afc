"""The files around the package agree with each other, and `make` says clearly what it lacks."""

import ast
import graphlib
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from companion import __version__

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKED = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def load(name: str):
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_conda_users_get_the_same_bounds():
    *packages, pip = load("environment.yml")["dependencies"]
    expected = {"pip", "python" + PYPROJECT["project"]["requires-python"]}
    for requirement in PYPROJECT["project"]["dependencies"]:
        name, bounds = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
        expected.add(CONDA_NAMES.get(name, name) + bounds)
    assert set(packages) == expected
    (here,) = pip["pip"]
    extras = re.fullmatch(r"-e \.\[(.*)\]", here).group(1).split(",")
    assert set(extras) == {"book", "lab", "test"} <= set(PYPROJECT["project"]["optional-dependencies"])


def test_the_lock_pins_every_package_by_hash_and_names_no_host():
    for name in ("requirements.lock", "requirements-oracles.lock", "requirements-cluster.lock"):
        text = (ROOT / name).read_text("utf-8")
        pins = re.findall(r"^[\w.-]+==.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        assert pins and all("--hash=sha256:" in pin for pin in pins)
        assert "://" not in text and "index-url" not in text


def test_the_lock_holds_what_pyproject_asks_for():
    groups = PYPROJECT["project"]["optional-dependencies"]
    asked = PYPROJECT["project"]["dependencies"]
    asked = asked + [requirement for name in ("book", "lab", "test", "build") for requirement in groups[name]]
    names = {re.match(r"[\w.-]+", requirement).group() for requirement in asked} - {"companion"}
    assert names <= set(LOCKED)
    assert LOCKED["jupyter-book"].startswith("1.")


def test_hooks_use_the_locked_versions():
    _twins, *repos = load(".pre-commit-config.yaml")["repos"]  # the first calls what the environment has
    hooks = {repo["repo"].rsplit("/", 1)[1]: repo["rev"] for repo in repos}
    assert hooks == {"ruff-pre-commit": "v" + LOCKED["ruff"], "nbstripout": LOCKED["nbstripout"]}


def test_one_version_and_one_address_everywhere():
    citation, address = load("CITATION.cff"), "https://github.com/companion-book/companion"
    assert citation["version"] == PYPROJECT["project"]["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert citation["repository-code"] == load("_config.yml")["repository"]["url"] == address


def test_continuous_integration_runs_the_command_of_the_readme():
    script = (ROOT / ".ci/run").read_text("utf-8")
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert re.search(r"^make test$", script, re.MULTILINE)
    steps = load(".github/workflows/test.yml")["jobs"]["test"]["steps"]
    assert {"run": ".ci/run"} in steps


def make(*arguments: str) -> subprocess.CompletedProcess:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )


def fake_python(tmp_path: Path, script: str) -> str:
    path = tmp_path / "fake-python"
    path.write_text("#!/bin/sh\n" + script, "utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exec python3 -c \"import sys; sys.version_info = (3, 9, 2); $2\"", "is Python 3.9,"),
        (
            "exec python3 -c \"import pkgutil, sys; sys.version_info = (3, 12, 0)\n"
            "pkgutil.iter_modules = lambda: [(None, 'venv', True)]\n$2\"",
            "has no module ensurepip: install it",
        ),
        ("exit 127", "does not run"),
        (None, "was not found"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["book", "test"])
def test_an_unsuitable_python_gets_one_clear_line(tmp_path, target, script, said):
    python = fake_python(tmp_path, script) if script else "no-such-python"
    done = make(f"PYTHON={python}", f"VENV={tmp_path / 'venv'}", target)
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert said in line and f"make {target} PYTHON=" in line
    assert not (tmp_path / "venv").exists()


def test_a_suitable_python_makes_the_environment_from_the_lock(tmp_path):
    python = fake_python(tmp_path, 'exec python3 -c "import sys; sys.version_info = (3, 13, 0); $2"')
    done = make("--dry-run", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}", "book", "PROFILE=gpu")
    assert done.returncode == 0, done.stderr
    steps = [
        f"{python} -m venv ",
        "pip install --disable-pip-version-check --require-hashes -r requirements.lock",
        "--no-deps --require-hashes -r requirements-oracles.lock",
        "--no-deps --no-build-isolation -e .",
        "companion run --profile gpu",
        "companion build --profile gpu",
    ]
    assert sorted(steps, key=done.stdout.index) == steps


def test_make_lab_opens_the_chapters_with_the_environments_own_kernel(tmp_path):
    """It installs the lock, which has JupyterLab and the widgets' part for the browser."""
    assert {"jupyterlab", "jupyterlab-widgets", "ipykernel"} <= set(LOCKED)
    done = make("--dry-run", f"VENV={tmp_path / 'venv'}", "lab")
    steps = [
        "--require-hashes -r requirements.lock",
        f"ENV_PATH=1 {tmp_path / 'venv'}/bin/jupyter lab notebooks",
    ]
    assert done.returncode == 0 and sorted(steps, key=done.stdout.index) == steps
    assert "make lab " in make("help").stdout


def rooms() -> dict[str, set[str]]:
    """Which rooms of the package (its modules and sub-packages) each of them imports, in functions too."""
    package, found = ROOT / "src" / "companion", {}
    names = {path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        modules = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules |= {f"{node.module}.{alias.name}" for alias in node.names}
        imported = {module.split(".")[1] for module in modules if module.startswith("companion.")}
        found.setdefault(room, set()).update((imported & names) - {room})
    return found


def test_no_room_of_the_package_imports_one_that_imports_it():
    graph = rooms()
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, naming the circle
    assert order.index("attacks") < order.index("training") < order.index("store") < order.index("experiment")
    assert not any("publishing" in imported for imported in graph.values())


def test_contributing_names_every_room():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert [room for room in rooms() if room != "__init__" and f"`{room}`" not in text] == []
