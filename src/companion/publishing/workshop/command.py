"""`companion workshop`: what a teacher and a participant type."""

from pathlib import Path

import click

from companion.publishing import paths


@click.group()
def workshop() -> None:
    """Teach with the book: a box to hand round, editions of the workbooks, their answers checked."""


@workshop.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--profile", default="quick", show_default=True, help="Whose executed chapters and pages are in the box."
)
def make(out: Path, profile: str) -> int:
    """Make a box in the folder OUT from which everything is installed without a network, and prove it.

    Packages, checkout, executed chapters, trained nets, pages, both editions of the workbooks, start scripts.
    What an interrupted one left is completed. The proof installs from the box, the network taken away where
    the system can do that, and runs the commands of the sessions of the page "Teach with it".
    """
    from companion.publishing.workshop import box, proof

    if box.make(out.resolve(), profile, click.echo):
        click.echo(f"proved; hand round {out} without instructor/ (README.md says how)")
        return 0
    click.echo(f"companion: the box is made and not proved; see the end of {out / proof.LOG}", err=True)
    return 1


@workshop.command()
@click.argument("folder", type=click.Path(path_type=Path))
def editions(folder: Path) -> None:
    """Write the student and the instructor edition of every workbook into FOLDER."""
    from companion.publishing.workshop import workbook

    written = workbook.write_editions(folder)
    click.echo(f"{len(written)} notebooks in {paths.shown(folder)}: student/ and instructor/")


@workshop.command()
@click.argument("folder", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--profile", default="quick", show_default=True, help="Slides of the chapters' runs in this profile."
)
def slides(folder: Path, profile: str) -> None:
    """Make slides of every executed chapter, with speaker notes, in the new folder OUT."""
    from companion.publishing.workshop import slides  # brings nbconvert along, which no other command needs

    made, missing = slides.make(folder, profile)
    for name in missing:
        run = f"companion run {name} --profile {profile}"
        click.echo(f"{name}: no slides; it has not been run: `{run}`", err=True)
    click.echo(f"{made} decks; open {paths.shown(folder / 'index.html')}")


@workshop.command()
@click.argument("notebook", type=click.Path(path_type=Path))
def check(notebook: Path) -> int:
    """Run a student's NOTEBOOK and say, exercise by exercise, right or wrong, with a hint."""
    from companion.publishing.workshop import checking, judging

    found = checking.check(notebook)
    width = max(map(len, found))
    for exercise, (verdict, hint) in found.items():
        click.echo(f"{exercise:{width}}  {verdict}" + f": {hint}" * bool(hint))
    right = sum(verdict == judging.RIGHT for verdict, _ in found.values())
    click.echo(f"{right} of {len(found)} right")
    return 0 if right == len(found) else 1
