"""Tasks in several processes: order, faults, interruptions. Tasks are numbers, done by leaving a file."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children
from pathlib import Path

import pytest

from companion.training import processes

pytestmark = pytest.mark.slow  # each starts a process that imports torch


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIDE_BY_SIDE", str(tmp_path))
    yield tmp_path
    assert not [thread for thread in threading.enumerate() if "_elsewhere" in thread.name]
    assert not active_children()


def path(name):
    return Path(os.environ["SIDE_BY_SIDE"]) / str(name)


def leave(name):
    path(name).write_text(str(os.getpid()))


def done(folder):
    return {int(p.name) for p in folder.iterdir() if p.name.isdigit()}


def wait_for(condition, seconds=60):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "waited too long"
        time.sleep(0.01)


def do(task, say=None):
    leave(task)


def slowly(task, say=None):
    leave(task)
    time.sleep(0.1)


def here_after(name):
    """A `here` that begins when the file is there: what another process does first."""

    def here(task, say):
        wait_for(path(name).exists)
        leave(task)

    return here


def die(task):
    leave("died")
    os._exit(1)


def die_once(task):
    if not path("died").exists():
        die(task)
    leave(task)


def fail(task, say=None):
    if task == 1:
        raise ArithmeticError("task 1")
    leave(task)


def hang(task):
    leave("hanging")
    time.sleep(600)


def refuse():
    os._exit(1)


def nothing(task):
    return ()


def run(tasks, *, needs=nothing, here=do, there=do, jobs=2, **settings):
    processes.run(tasks, needs=needs, here=here, there=there, jobs=jobs, **settings)


def test_every_task_is_done_once_by_both(folder):
    run(range(20), here=slowly, there=slowly, begin=None)
    assert done(folder) == set(range(20))


def test_this_process_begins_before_another_is_there(folder):
    seen = []
    run(range(3), report=lambda *counts: seen.append(counts))
    assert seen[0] == (0, 1, "")


def test_what_here_says_is_reported_in_this_thread():
    seen = []

    def here(task, say):
        say(f"at {task}")

    run([7], here=here, report=lambda *said: seen.append((*said, threading.current_thread())))
    assert (0, 1, "at 7", threading.main_thread()) in seen


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_needs_come_first(folder, jobs):
    began = []

    def here(task, say):
        if task % 5:
            assert path(task - 1).exists()
        began.append(task)
        slowly(task)

    chain = [4, 3, 2, 1, 0]
    run(chain, needs=lambda t: {t - 1} if t % 5 else set(), here=here, there=slowly, jobs=jobs)
    assert done(folder) == set(chain)
    assert began == sorted(began)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failure_leaves_out_what_needs_it_and_is_raised_last(folder, jobs):
    needs = {2: {1}, 3: {2}}
    with pytest.raises(ArithmeticError, match="task 1"):
        run(range(6), needs=lambda t: needs.get(t, ()), here=fail, there=fail, jobs=jobs)
    assert done(folder) == {0, 4, 5}


@pytest.mark.parametrize("jobs", [2, 3])
def test_a_process_that_dies_fails_the_task_it_held_and_no_other(folder, jobs):
    """With three, the third process goes on."""
    with pytest.raises(BrokenProcessPool):
        run(range(8), here=here_after("died"), there=die_once, jobs=jobs)
    assert len(done(folder)) == 7


def test_a_process_that_died_between_two_tasks_fails_none(folder):
    """It is killed while it waits for what only this process can begin; task 2 is then done here."""

    def kill_the_other(task, say):
        if task == 1:
            wait_for(lambda: path(0).exists() and len(active_children()) == 1)
            time.sleep(0.2)  # until it has handed in task 0
            for process in active_children():
                process.kill()
                process.join()
            time.sleep(0.2)  # until its pool knows
        leave(task)

    def needs(task):
        return {1} if task == 2 else ()

    run([1, 0, 2], needs=needs, here=kill_the_other, there=do)
    assert done(folder) == {0, 1, 2}


def test_a_task_nobody_else_can_be_given_comes_back(folder, monkeypatch):
    """`submit` finds its process gone every time: all tasks are done here, none fails."""
    submit = ProcessPoolExecutor.submit

    def broken_for_tasks(self, function, *args):
        if function is processes._do:
            leave("refused")
            raise BrokenProcessPool("gone")
        return submit(self, function, *args)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", broken_for_tasks)

    def here(task, say):
        wait_for(path("refused").exists)
        assert len([t for t in threading.enumerate() if "_elsewhere" in t.name]) <= 1
        leave(task)

    run(range(4), here=here)
    assert done(folder) == set(range(4))


def test_where_a_process_dies_at_its_start_the_rest_is_done_here_and_said(folder):
    with pytest.warns(UserWarning, match="no other process to work in"):
        run(range(3), here=slowly, begin=refuse)
    assert done(folder) == {0, 1, 2}


def test_where_the_system_starts_no_process_the_rest_is_done_here_and_said(folder, monkeypatch):
    def submit(*_):
        raise OSError("[Errno 12] Cannot allocate memory")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit)
    with pytest.warns(UserWarning, match="Cannot allocate memory"):
        run(range(3), jobs=4)
    assert done(folder) == {0, 1, 2}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_ends_the_other_process_in_the_middle_of_its_task(folder, error):
    def here(task, say):
        wait_for(path("hanging").exists)
        raise error

    began = time.monotonic()
    with warnings.catch_warnings(), pytest.raises(error):
        warnings.simplefilter("error")  # it is not "no other process" either
        run(range(5), here=here, there=hang)
    assert time.monotonic() - began < 60
    assert done(folder) == set()


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_report_raises_ends_all_of_it_and_is_no_failure_of_a_task(folder, jobs):
    class Closed(Exception):
        pass

    def report(finished, running, text):
        if text:
            raise Closed

    def here(task, say):
        if jobs > 1:
            wait_for(path("hanging").exists)
        say("half done")
        leave(task)

    with pytest.raises(Closed):
        run(range(5), here=here, there=hang, jobs=jobs, report=report)
    assert done(folder) == set()


def test_a_slow_report_holds_up_no_other_process(folder):
    """It returns when the others have done all that this process does not hold."""

    def report(finished, running, text):
        if path(0).exists():
            wait_for(lambda: len(done(folder)) >= 3)

    def needs(task):
        return {0} if task else ()

    run(range(4), needs=needs, report=report)
    assert done(folder) == {0, 1, 2, 3}


UNGUARDED = """
import os
from pathlib import Path
from companion.training import processes
from tests.training.test_processes import do, here_after, nothing

with open(Path(os.environ["SIDE_BY_SIDE"]) / "begun", "a") as file:
    file.write("x")
processes.run(range(3), needs=nothing, here=do, there=do, jobs=2)
print("the end")
"""


def test_a_script_without_a_main_guard_gets_to_its_end_once(folder):
    """Spawning runs it again from the top, where Python refuses a second process."""
    script = folder / "script.py"
    script.write_text(UNGUARDED)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # this package, and these tests
    ended = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.count("the end") == 1
    assert done(folder) == {0, 1, 2}


INTERRUPTED = """
import signal
from tests.training.test_processes import hang, leave, nothing, path, wait_for
from companion.training import processes

signal.signal(signal.SIGINT, signal.default_int_handler)  # heard, even where the tests run behind "&"

def here(task, say):
    wait_for(path("hanging").exists)
    leave("both")
    wait_for(lambda: False)

if __name__ == "__main__":
    processes.run(range(3), needs=nothing, here=here, there=hang, jobs=2)
"""


def test_an_interrupt_signal_to_this_process_alone_ends_both(folder):
    """As a notebook's stop button sends it."""
    script = folder / "script.py"
    script.write_text(INTERRUPTED)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # this package, and these tests
    command = [sys.executable, script]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_for(path("both").exists)
        other = int(path("hanging").read_text())
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert "KeyboardInterrupt" in said
    with pytest.raises(ProcessLookupError):
        os.kill(other, 0)


def give_half(task, say=None):
    """Leaves the first half of what the task gives, then fails."""
    for item in task[: len(task) // 2]:
        leave(item)
    if len(task) > 1:
        raise ArithmeticError("half")
    leave(task[0])


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_failed_task_gave_is_enough_for_those_that_need_it(folder, jobs):
    needs = {(5,): {1}, (6,): {3}}
    with pytest.raises(ArithmeticError):
        run(
            [(1, 2, 3, 4), (5,), (6,)],
            needs=lambda task: needs.get(task, ()),
            here=give_half,
            there=give_half,
            jobs=jobs,
            gives=lambda task: task,
            given=lambda item: path(item).exists(),
        )
    assert done(folder) == {1, 2, 5}


class TwoWords(Exception):
    """Cannot be sent from one process to another."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def fail_in_two_words(task):
    raise TwoWords("no", "way")


def test_a_failure_that_cannot_be_sent_is_described_in_words(folder):
    with pytest.raises(RuntimeError, match="TwoWords: no way"):
        run(range(200), here=slowly, there=fail_in_two_words)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_other_process_ends_with_this_one(folder, how):
    script = folder / "script.py"
    script.write_text(INTERRUPTED)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # this package, and these tests
    with subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL) as process:
        wait_for(path("both").exists)
        other = int(path("hanging").read_text())
        process.send_signal(how)
        process.wait(timeout=60)

    def gone():
        try:
            os.kill(other, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{other}/stat").read_text().split(")")[1].split()[0] == "Z"

    wait_for(gone)
