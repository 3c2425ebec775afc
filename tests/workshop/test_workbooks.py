"""Every exercise of every workbook: its solution passes, wrong answers fail, no student sees a solution."""

import re

import pytest

from companion.publishing.running import notebooks
from companion.publishing.workshop import judging, workbook

NAMES = workbook.names()
READ = {name: workbook.read(name) for name in NAMES}


def test_there_are_thirty_exercises_and_a_workbook_for_every_chapter():
    assert notebooks.names() == NAMES
    ids = [identity for of in READ.values() for identity in workbook.exercises(of)]
    assert len(ids) >= 30
    assert len(ids) == len(set(ids))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_solution_passes_and_wrong_answers_get_a_hint(name, monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    space = judging.setup(name, {})
    answered = dict(space)  # as the instructor's notebook: an exercise may build on the ones before it
    for identity, exercise in workbook.exercises(READ[name]).items():
        assert exercise.solution and exercise.check and len(exercise.wrong) >= 2, identity
        assert judging.verdict(exercise, _stubs(exercise, space), space)[0] == judging.UNANSWERED, identity
        for source in exercise.wrong:
            told = judging.verdict(exercise, _answer(source, exercise, answered), space)
            assert told[0] == judging.WRONG and told[1], f"{identity}, a wrong answer: {told}\n{source}"
        answer = _answer(exercise.solution, exercise, answered)
        assert judging.verdict(exercise, answer, space) == (judging.RIGHT, ""), identity
        answered |= answer


def _stubs(exercise, space):
    here = dict(space)
    exec(exercise.stub, here)
    return {name: here[name] for name in exercise.names}


def _answer(source, exercise, space):
    here = dict(space)
    exec(source, here)
    return {name: here[name] for name in exercise.names}


@pytest.mark.parametrize("name", NAMES)
def test_the_student_edition_holds_no_solution(name):
    student = "\n".join(cell.source for cell in workbook.edition(READ[name], "student").cells)
    for identity, exercise in workbook.exercises(READ[name]).items():
        stub = set(map(str.strip, exercise.stub.splitlines()))
        for line in map(str.strip, exercise.solution.splitlines()):
            telling = len(line) > 15 and line not in stub and not re.match(r"(from|import) ", line)
            assert not (telling and line in student), f"{identity}: {line}"
        assert f"# check {identity}" not in student


@pytest.mark.parametrize("name", NAMES)
def test_the_instructor_edition_has_every_answer_and_check(name):
    cells = workbook.edition(READ[name], "instructor").cells
    markers = [found for cell in cells if (found := workbook.marked(cell.source))]
    for identity in workbook.exercises(READ[name]):
        assert ("exercise", identity) in markers and ("check", identity) in markers
    for cell in cells:
        assert "= ...\n" not in cell.source + "\n", cell.source
