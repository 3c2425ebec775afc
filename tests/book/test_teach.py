"""What the page for teachers tells people to type is there, and what it says is answered is answered."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from companion.publishing import cli
from companion.publishing.running import notebooks, parameters, runner

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "book" / "teach.md").read_text("utf-8")
BLOCKS = {
    kind: re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) for kind in ("bash", "yaml")
}
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in BLOCKS["bash"]
    for line in block.splitlines()
    if line.removeprefix(".venv/bin/").startswith("companion ")
]
LESSONS = re.findall(r"^### (Lesson \d)\. .*?\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)
MISTAKES = re.findall(r"^\| `companion ([^`]+)` \| `([^`]+)`", TEXT, re.MULTILINE)


def test_the_page_has_what_is_tested_here():
    assert len(COMMANDS) > 8 and len(MISTAKES) > 8 and len(BLOCKS["yaml"]) == 5 and len(LESSONS) == 5


def test_every_chapter_is_taught_once():
    taught = [chapter for _, text in LESSONS for chapter in _chapters(text)]
    assert sorted(taught) == notebooks.names()


@pytest.mark.parametrize(("lesson", "text"), LESSONS, ids=[lesson for lesson, _ in LESSONS])
def test_a_lesson_has_votes_times_and_exercises_of_its_workbooks(lesson, text):
    times = [int(time) for time in re.findall(r"^\| (?:\d+)–(\d+) \|", text, re.MULTILINE)]
    assert times == sorted(times) and times[-1] in (60, 90) and "**Vote" in text
    known = {}
    for chapter in _chapters(text):
        source = ROOT / "workbooks" / f"{chapter}.py"
        asked = re.findall(r"^# ## (\w+): .*\n#\n# \*(\d+) minutes", source.read_text("utf-8"), re.MULTILINE)
        known |= dict(asked)
    named = dict(re.findall(r"`(\w+)` \((\d+)\)", text))
    assert named == known, "the page names each exercise once, with its minutes"


def _chapters(lesson: str) -> list[str]:
    return re.findall(r"\{doc\}`\.\./notebooks/(\w+)`", lesson)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_can_be_given(words):
    """As far as its arguments: notebooks, options and profile exist; nothing is run."""
    name, *rest = [word.replace("mine", "quick") for word in words]
    command = cli.cli.get_command(None, name)
    if isinstance(command, click.Group):
        name, *rest = rest
        command = command.get_command(None, name)
    given = command.make_context(name, rest).params
    for notebook in [*given.get("chosen", ()), *filter(None, [given.get("notebook")])]:
        assert notebook in notebooks.names()
    assert given.get("profile", "quick") in notebooks.profiles()


@pytest.mark.parametrize("block", BLOCKS["yaml"], ids=lambda block: block.splitlines()[0])
def test_a_profile_of_the_page_can_be_used(block, tmp_path):
    name = re.fullmatch(r"# notebooks/profiles/mine/(\w+)\.yaml", block.splitlines()[0])[1]
    path = tmp_path / "mine.yaml"
    path.write_text(block, "utf-8")
    layers = [notebooks.profile_values(name, "quick"), ("mine.yaml", parameters.load_yaml(path, "mine.yaml"))]
    usual = parameters.resolve(notebooks.declared(name), layers[:1], name)
    values = parameters.resolve(notebooks.declared(name), layers, name)
    assert values != usual
    assert set(yaml.safe_load(block)) <= set(values)


@pytest.mark.parametrize(("typed", "answer"), MISTAKES)
def test_a_mistake_is_answered_as_the_page_says(typed, answer, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    monkeypatch.setattr(runner, "run", lambda *plan: pytest.fail("it was started"))
    with pytest.raises(SystemExit) as ended:
        cli.main(shlex.split(typed))
    assert ended.value.code == 2
    said = capsys.readouterr().err.removeprefix("companion: ").replace("`", "'")
    parts = [part.strip() for part in answer.split("…")]
    assert re.search(".*".join(map(re.escape, parts)), said), said
