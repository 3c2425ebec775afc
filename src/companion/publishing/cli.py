"""The command line: `companion run | sweep | build | check-site | list | claims | calibrate | record |
clean | fetch | workshop`.

Exit status: 0 done; 1 something ran and failed; 2 the user must fix what one line on stderr says.
"""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import click

from companion import __version__
from companion.files import write_atomic
from companion.publishing import paths
from companion.publishing.paths import UserError
from companion.publishing.running import listing, notebooks, records, runner
from companion.publishing.workshop import command

_PROFILE = click.option(
    "--profile", default="quick", show_default=True, help="Settings from notebooks/profiles/PROFILE."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="companion")
def cli() -> None:
    """Run the notebooks of the companion and build its book."""


@cli.command()
@click.argument("chosen", metavar="[NOTEBOOK]...", nargs=-1)
@_PROFILE
@click.option("-p", "assignments", metavar="NAME=VALUE", multiple=True, help="Set one parameter; repeatable.")
@click.option(
    "-f", "files", type=click.Path(path_type=Path), metavar="FILE.yaml", multiple=True,
    help="Set parameters from a file; repeatable; -p wins.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Notebooks to run at the same time."
)
@click.option("--force", is_flag=True, help="Run even what is up to date.")
def run(
    chosen: tuple[str, ...],
    profile: str,
    assignments: tuple[str, ...],
    files: tuple[Path, ...],
    jobs: int,
    force: bool,
) -> int:
    """Run notebooks (all that have the profile, if none is named) that are not up to date.

    A parameter takes the notebook's default, unless the profile, a file (-f) or -p, in this order, sets it.
    Lists: -p seeds=0,1,2. Fractions: -p eps=8/255. `companion list NOTEBOOK` shows the parameters.
    """
    return runner.run(runner.plan(chosen, profile, files, assignments), jobs, force)


@cli.command()
@click.argument("chapter")
@_PROFILE
@click.option(
    "-p", "assignments", metavar="NAME=VALUES", multiple=True, help="Values to run, each alone; repeatable."
)
@click.option(
    "--executor", type=click.Choice(["local", "slurm"]), default="local", show_default=True,
    help="Where its jobs run.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at the same time.")
def sweep(chapter: str, profile: str, assignments: tuple[str, ...], executor: str, jobs: int) -> int:
    """Run a CHAPTER for every combination of values, and gather the results in one table and one page.

    Values: -p seeds=0..9, -p eps=0.1,8/255; a list in brackets is one value: -p 'radii=[0.5,1]'. What is up
    to date is not run again. Snakemake starts the jobs, here or on Slurm: pip install 'companion[cluster]'.
    """
    from companion.publishing.running import sweeps  # brings pandas along, which no other command waits for

    return sweeps.start(sweeps.plan(chapter, profile, assignments), executor, jobs)


@cli.command()
@_PROFILE
def build(profile: str) -> int:
    """Build the book from the executed notebooks of a profile."""
    _require_jupyter_book()
    notebooks.require_profile(profile)
    for name in notebooks.names():
        if profile not in notebooks.profiles(name):
            click.echo(f"{name}: no results to show; it has no profile '{profile}'", err=True)
        elif not (paths.runs_dir() / profile / name / "executed.ipynb").is_file():
            click.echo(
                f"{name}: no results to show; run `companion run {name} --profile {profile}` first", err=True
            )
    _remove(paths.root() / "_build")  # an incremental build keeps numbers that other pages quote
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", ".", "--all", "-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=paths.root(), env={**os.environ, "COMPANION_PROFILE": profile})
    page = paths.root() / "_build" / "html" / "index.html"
    if done.returncode or not page.is_file():
        click.echo("companion: the book was not built without complaint; see the messages above", err=True)
        return 1
    click.echo(f"open {paths.shown(page)}")
    return 0


@cli.command("check-site")
@click.option("--at", "address", default="", metavar="URL", help="Ask for every file of it there, instead.")
def check_site(address: str) -> int:
    """Look for missing pages, cells with errors and references that lead nowhere in the built book.

    With --at, after it was published: every file is there, and is the one that was built.
    """
    from companion.publishing.pages import site

    html = paths.root() / "_build" / "html"
    if not html.is_dir():
        raise UserError(f"no built book in {paths.shown(html)}; run `companion build` first")
    if address and not address.startswith(("http://", "https://")):
        raise UserError(f"--at {address}: write an address such as https://example.org/companion")
    problems = site.published_problems(html, address) if address else site.problems(html, paths.root())
    for problem in problems:
        click.echo(problem)
    click.echo(f"{len(problems)} problems in {address or paths.shown(html)}")
    return 1 if problems else 0


@cli.command("list")
@click.argument("notebook", required=False)
def list_(notebook: str | None) -> None:
    """Show the state of every run, or the parameters of one NOTEBOOK."""
    table = listing.parameters_table(notebooks.named(notebook)) if notebook else listing.runs_table()
    click.echo("\n".join(table))


@cli.command("claims")
@_PROFILE
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="A table of words, or everything.",
)  # fmt: skip
def claims_(profile: str, form: str) -> None:
    """Decide every claim of the papers on the paper's print, a profile's runs and the recorded runs.

    A claim whose inputs are missing is "not tested here".
    """
    notebooks.require_profile(profile)
    from companion.publishing.claims import verdicts  # brings scipy along, which no other command waits for

    found = verdicts.of_profile(profile)
    click.echo(verdicts.as_json(found) if form == "json" else "\n".join(verdicts.as_text(found)))


@cli.command("calibrate")
@click.argument("claim", default="")
@click.option(
    "--draws", default=100, show_default=True, help="Runs to imagine, of each claim, design and world."
)
def calibrate_(claim: str, draws: int) -> None:
    """Measure how often each answer to a CLAIM comes in worlds where the truth is known (minutes to an hour).

    Without CLAIM every claim whose numbers are printed, and the result is kept in results/calibration.json.
    """
    from companion.publishing.claims import calibration

    found = calibration.run(draws, click.echo, only=claim)
    if not claim:
        path = paths.root() / "results" / "calibration.json"
        write_atomic(path, json.dumps(found, indent=1) + "\n")
        click.echo(f"kept in {paths.shown(path)}")


@cli.command("record")
@click.argument("run")
@click.option("--note", default="", help="What a reader of its numbers should know.")
def record_(run: str, note: str) -> None:
    """Keep a complete RUN, such as gpu/NOTEBOOK, in results/, where the book shows it beside every other."""
    kept = records.record(run, note)
    click.echo(f"recorded {paths.shown(kept)}; commit it, and name it in results/README.md")


@cli.command()
@click.option("--runs", is_flag=True, help="Also remove the runs.")
@click.option("--store", is_flag=True, help="Also remove the trained models.")
@click.option("--all", "everything", is_flag=True, help="Remove the book, the runs and the models.")
def clean(runs: bool, store: bool, everything: bool) -> None:
    """Remove the built book."""
    _remove(paths.root() / "_build")
    models = paths.runs_dir() / "store"
    if (runs or everything) and paths.runs_dir().is_dir():
        for path in sorted(paths.runs_dir().iterdir()):
            if path != models:
                _remove(path)
    if store or everything:
        _remove(models)


@cli.command()
@click.argument("dataset")
def fetch(dataset: str) -> int:
    """Download a DATASET, such as mnist, and check it."""
    from companion import data

    try:
        data.fetch(dataset)
    except ValueError as error:
        raise UserError(" ".join(str(error).split())) from None
    except (OSError, RuntimeError) as error:  # no network, no room, a damaged download
        click.echo(f"companion: {dataset} was not fetched: {' '.join(str(error).split())}", err=True)
        return 1
    return 0


cli.add_command(command.workshop)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; every mistake of the user becomes one line on stderr and status 2."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal in ASCII or cp1252 lacks some of our signs
    try:
        _say_which_checkout(words)
        status = cli.main(words, prog_name="companion", standalone_mode=False) or 0
    except (UserError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"companion: {' '.join(message.split())}", err=True)
        status = 2
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:  # a full disk is told without a name
            raise
        click.echo(f"companion: {error.filename or paths.runs_dir()}: {error.strerror}", err=True)
        status = 1
    except (KeyboardInterrupt, click.Abort):
        click.echo("companion: interrupted", err=True)
        status = 130
    except runner.Terminated as ended:
        click.echo("companion: interrupted; all kernels ended, nothing unfinished was kept", err=True)
        status = 128 + ended.args[0]
    sys.exit(status)


def _say_which_checkout(words: Sequence[str]) -> None:
    """Say it where a command works on another checkout than the one it is called in."""
    here = paths.here()
    if here is None or {"-h", "--help", "--version", "fetch"} & set(words) or here.samefile(paths.root()):
        return
    why = (
        "COMPANION_ROOT names it" if os.environ.get("COMPANION_ROOT") else "the package is installed from it"
    )
    click.echo(f"companion: works on {paths.root()}, not on {here}: {why}", err=True)


def _require_jupyter_book() -> None:
    """Raise UserError unless Jupyter Book 1 is installed: 2.x exits 0 and builds nothing from our files."""
    try:
        version = metadata.version("jupyter-book")
    except metadata.PackageNotFoundError:
        raise UserError("jupyter-book is not installed; pip install 'companion[book]'") from None
    if version.split(".")[0] != "1":
        raise UserError(f"jupyter-book {version} cannot build this book; pip install 'jupyter-book<2'")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    else:
        return
    click.echo(f"removed {paths.shown(path)}")


if __name__ == "__main__":
    main()
