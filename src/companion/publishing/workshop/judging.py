"""Judging the answers of a workbook: what runs inside a student's kernel, beside the student's own code.

A check is executed in a namespace of the workbook's own set-up, into which only the answer's names are put,
so what a student did to other names does no harm, and what is printed on the way plays no part.
"""

import copy
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from companion.files import write_atomic
from companion.publishing.workshop.workbook import Exercise, exercises, parameters, read, shared

RIGHT, WRONG, UNANSWERED, MISSING = "right", "wrong", "not answered", "no answer found"
ENDLESS = "it came to no end, and was interrupted"
_BEST_FIRST = (RIGHT, WRONG, UNANSWERED, MISSING)


def setup(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The namespace of a workbook's own set-up, executed afresh with these values of its parameters.

    Raises what the set-up raises.
    """
    workbook = read(name)
    own = parameters(workbook)
    space: dict[str, Any] = {"__name__": "workbook"}
    for source in shared(workbook):
        exec(compile(source, f"workbooks/{name}.py", "exec"), space)
        if own and all(parameter in space for parameter in own):
            space |= {parameter: values[parameter] for parameter in own if parameter in values}
            own = ()
    return space


def verdict(exercise: Exercise, answer: Mapping[str, Any], space: Mapping[str, Any]) -> tuple[str, str]:
    """Right, wrong or not answered, and a hint where it is wrong.

    answer: the values of the exercise's names, those the student defined. space: what `setup` made; it is
    copied, so that nothing a function changes in place reaches the next exercise.
    """
    if not answer:
        return MISSING, ""
    before: dict[str, Any] = dict(space)
    exec(exercise.stub, before)
    if all(_same(answer.get(name, before[name]), before[name]) for name in exercise.names):
        return UNANSWERED, ""
    if absent := [name for name in exercise.names if name not in answer]:
        return WRONG, f"{', '.join(absent)} is not defined"
    here = {name: _copied(value) for name, value in space.items()} | dict(answer)
    try:
        exec(compile(exercise.check, "check", "exec"), here)
    except AssertionError as told:
        return WRONG, str(told) or "not yet"
    except KeyboardInterrupt:
        return WRONG, ENDLESS
    except Exception as error:
        return WRONG, f"the check stopped with {type(error).__name__}: {' '.join(str(error).split())}"
    return RIGHT, ""


def _same(value: Any, stub: Any) -> bool:
    """Whether an answer is still what the stub says."""
    if isinstance(value, types.FunctionType) and isinstance(stub, types.FunctionType):
        return (value.__code__.co_code, value.__code__.co_consts) == (
            stub.__code__.co_code,
            stub.__code__.co_consts,
        )
    return value is stub


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # a module, a generator, a tensor inside a graph
        return value


class Judge:
    """Judges the answers of one workbook as they appear, and keeps the best verdict on each exercise.

    found: the file that holds the verdicts so far, {ID: [verdict, hint]}.
    """

    def __init__(self, name: str, found: Path):
        self._name, self._path = name, found
        self._exercises = exercises(read(name))
        self._space: dict[str, Any] | None = None
        self._verdicts = dict.fromkeys(self._exercises, (MISSING, ""))
        self._keep()

    def forget(self, exercise: str, space: dict[str, Any]) -> None:
        """Take an exercise's names out of the student's namespace, before a cell that answers it again."""
        for name in self._exercises[exercise].names if exercise in self._exercises else ():
            space.pop(name, None)

    def judge(self, exercise: str, space: Mapping[str, Any]) -> None:
        """Judge what the student's namespace now holds of the exercise's names."""
        if exercise not in self._exercises or self._verdicts[exercise][0] == RIGHT:
            return
        of = self._exercises[exercise]
        if self._space is None:
            self._space = setup(self._name, space)
        new = verdict(of, {name: space[name] for name in of.names if name in space}, self._space)
        self._verdicts[exercise] = min(self._verdicts[exercise], new, key=lambda v: _BEST_FIRST.index(v[0]))
        self._keep()

    def judge_all(self, space: Mapping[str, Any]) -> None:
        """Judge every exercise once more: an answer may stand in a cell that lost its first line."""
        for exercise in self._exercises:
            if self._verdicts[exercise][1] != ENDLESS:
                self.judge(exercise, space)

    def _keep(self) -> None:
        write_atomic(self._path, json.dumps(self._verdicts))
