"""`companion workshop`: what a teacher and a participant type."""

from pathlib import Path

import click

from companion.publishing import paths


@click.group()
def workshop() -> None:
    """Teach with the book: editions of the workbooks, and their answers checked."""


@workshop.command()
@click.argument("folder", type=click.Path(path_type=Path))
def editions(folder: Path) -> None:
    """Write the student and the instructor edition of every workbook into FOLDER."""
    from companion.publishing.workshop import workbook

    written = workbook.write_editions(folder)
    click.echo(f"{len(written)} notebooks in {paths.shown(folder)}: student/ and instructor/")


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
