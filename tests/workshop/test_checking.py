"""A student's notebook is judged exercise by exercise, whatever else was done to it."""

import nbformat
import pytest

from companion.publishing import cli
from companion.publishing.paths import UserError
from companion.publishing.workshop import checking, judging, workbook

pytestmark = pytest.mark.slow  # a kernel each

SOURCE = '''
# %% [markdown]
# # A toy

# %% tags=["parameters"]
factor: int = 3  # how much is multiplied

# %%
numbers = [1, 2, 3]

# %% [markdown] tags=["exercise"]
# ## total: add them up

# %% tags=["stub"]
# exercise total
total = ...

# %% tags=["solution"]
# exercise total
total = sum(numbers) * factor

# %% tags=["wrong"]
# exercise total
total = sum(numbers)

# %% tags=["check"]
# check total
assert total != sum(numbers), "multiply by factor"
assert total == sum(numbers) * factor, "add all of them"

# %% tags=["instructor"]
# The factor is forgotten.

# %% tags=["stub"]
# exercise scaled
def scaled(values):
    """The values times factor."""
    ...

# %% tags=["solution"]
# exercise scaled
def scaled(values):
    return [factor * value for value in values]

# %% tags=["check"]
# check scaled
assert scaled(numbers) == [factor * value for value in numbers], "one product a value"
numbers.append(4)
'''
RIGHT = {
    "total": "# exercise total\ntotal = 6 * factor",
    "scaled": "# exercise scaled\ndef scaled(values):\n    return [v * factor for v in values]",
}


@pytest.fixture
def student(tmp_path, monkeypatch):
    """Writes a notebook of these cells, and returns what the check says of it."""
    (tmp_path / "workbooks").mkdir()
    (tmp_path / "workbooks" / "toy.py").write_text(SOURCE, "utf-8")
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    path = tmp_path / "mine.ipynb"

    def checked(*cells, **more):
        made = [nbformat.v4.new_code_cell(source) for source in ("factor = 3", "numbers = [1, 2, 3]", *cells)]
        nbformat.write(nbformat.v4.new_notebook(cells=made), path)
        return checking.check(path, **more)

    checked.path = path
    return checked


def test_right_wrong_and_not_answered_are_told_apart(student):
    stub = workbook.exercises(workbook.read("toy"))["scaled"].stub
    assert student(RIGHT["total"], RIGHT["scaled"]) == {"total": ("right", ""), "scaled": ("right", "")}
    assert student("# exercise total\ntotal = 6", stub) == {
        "total": ("wrong", "multiply by factor"),
        "scaled": ("not answered", ""),
    }


@pytest.mark.parametrize(
    "cells",
    [
        ["print('right')", "numbers = []", "sum = None", *RIGHT.values()],
        ["1 / 0", *RIGHT.values(), "raise SystemExit"],
        [*RIGHT.values(), "# exercise total\ntotal = ...", "# exercise total\ntotal = 1"],
        ["# exercise total\ntotal = 1", *RIGHT.values()],
        [RIGHT["total"].split("\n", 1)[1], RIGHT["scaled"]],
        ["%matplotlib inline\nprint(1)", *RIGHT.values(), "", "# exercise unknown\nx = 1"],
    ],
    ids=["other names changed", "cells that fail", "copied later", "copied before", "no first line", "magic"],
)
def test_what_else_is_in_the_notebook_does_no_harm(student, cells):
    assert {verdict for verdict, _ in student(*cells).values()} == {"right"}


def test_a_deleted_cell_costs_its_own_exercise_alone(student):
    assert student(RIGHT["scaled"]) == {"total": ("no answer found", ""), "scaled": ("right", "")}


def test_an_answer_that_fails_is_not_judged_by_the_one_before_it(student):
    said = student(RIGHT["scaled"], "# exercise total\ntotal = 1 / 0")
    assert said["total"] == ("no answer found", "")


def test_a_loop_without_an_end_is_ended_and_the_rest_judged(student):
    said = student("# exercise total\nwhile True:\n    pass", RIGHT["scaled"], cell_s=3)
    assert said == {"total": ("no answer found", ""), "scaled": ("right", "")}


def test_a_function_without_an_end_costs_its_own_exercise_alone(student):
    endless = "# exercise scaled\ndef scaled(values):\n    while True:\n        pass"
    said = student(endless, RIGHT["total"], cell_s=20)
    assert said == {"total": ("right", ""), "scaled": ("wrong", judging.ENDLESS)}


def test_a_check_sees_the_parameters_of_the_student(student):
    said = student("factor = 5", "# exercise total\ntotal = 30", RIGHT["scaled"])
    assert said == {"total": ("right", ""), "scaled": ("right", "")}


def test_an_answer_that_raises_says_what_it_raised(student):
    said = student("# exercise scaled\ndef scaled(values):\n    return values.nothing", RIGHT["total"])
    assert said["scaled"] == (
        "wrong",
        "the check stopped with AttributeError: 'list' object has no attribute 'nothing'",
    )


def test_the_command_says_each_line_and_counts(student, capsys):
    student(RIGHT["total"])
    with pytest.raises(SystemExit) as ended:
        cli.main(["workshop", "check", str(student.path)])
    assert ended.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        "total   right",
        "scaled  no answer found",
        "1 of 2 right",
    ]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no file"), ("{", "is no notebook"), ("cells", "holds no exercise")]
)
def test_what_is_no_workbook_is_refused_in_one_line(student, content, said):
    if content == "cells":
        nbformat.write(nbformat.v4.new_notebook(), student.path)
    elif content:
        student.path.write_text(content, "utf-8")
    with pytest.raises(UserError, match=said):
        checking.check(student.path)
