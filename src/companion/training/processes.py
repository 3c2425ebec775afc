"""Tasks done side by side: by this process, which begins at once, and by others, which start meanwhile."""

import os
import pickle
import warnings
from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

Task = TypeVar("Task", bound=Hashable)


class _Told(BaseException):
    """What `report` raised, on its way through `here`, which is not to take it for a failure of its own."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Board(Generic[Task]):
    """What waits, what runs and what failed, for several threads. No code of a caller runs under its lock."""

    def __init__(
        self,
        tasks: Sequence[Task],
        needs: Callable[[Task], Collection[Hashable]],
        gives: Callable[[Task], Collection[Hashable]],
        given: Callable[[Any], bool],
        weight: Callable[[Task], int],
    ) -> None:
        self.waiting = list(tasks)
        self.running: list[Task] = []
        self.failures: list[BaseException] = []
        self.done = 0
        self.stopped = False
        self._gives, self._given, self._weight = gives, given, weight
        self._needs = {task: set(needs(task)) for task in tasks}
        self._absent = {item for task in tasks for item in gives(task)}
        self._changed = Condition()

    def take(self, idle: Callable[[], None] = lambda: None) -> Task | None:
        """A task whose needs are met, as soon as there is one; None when none will come.

        idle: called before each wait.
        """
        while True:
            with self._changed:
                ready = next((t for t in self.waiting if not self._needs[t] & self._absent), None)
                if self.stopped:
                    return None
                if ready is not None:
                    self.waiting.remove(ready)
                    self.running.append(ready)
                    return ready
                if not self.running:  # what still waits needs a task that failed
                    return None
                seen = self._state()
            idle()
            with self._changed:
                if not self.stopped and self._state() == seen:
                    self._changed.wait()

    def end(self, task: Task, failure: BaseException | None = None) -> None:
        there = {item for item in self._gives(task) if failure is None or self._given(item)}
        with self._changed:
            self.running.remove(task)
            self._absent -= there
            if failure is None:
                self.done += self._weight(task)
            else:
                self.failures.append(failure)
            self._changed.notify_all()

    def give_back(self, task: Task) -> None:
        with self._changed:
            self.running.remove(task)
            self.waiting.insert(0, task)
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def counts(self) -> tuple[int, int]:
        """The weight of the tasks done, and of those running."""
        with self._changed:
            return self.done, sum(map(self._weight, self.running))

    def _state(self) -> tuple[int, int]:
        return len(self.waiting), len(self.running)


def run(
    tasks: Sequence[Task],
    *,
    needs: Callable[[Task], Collection[Hashable]],
    here: Callable[[Task, Callable[[str], None]], Any],
    there: Callable[[Task], Any],
    jobs: int,
    begin: Callable[[], None] | None = None,
    gives: Callable[[Task], Collection[Hashable]] = lambda task: (task,),
    given: Callable[[Any], bool] = lambda _: False,
    weight: Callable[[Task], int] = lambda _: 1,
    report: Callable[[int, int, str], None] | None = None,
) -> None:
    """Do every task once, each after those that give what it needs.

    tasks: what is to be done.
    needs: what a task needs of what others give.
    here: here(task, say) does a task in this process.
    there: there(task) does one in another process, which is spawned: it imports the function and is sent the
    task.
    jobs: processes, this one among them.
    begin: called first in each of the others.
    gives: what a task gives when it is done, by default itself.
    given: which of it is there when it failed.
    weight: of a task, in what is reported; by default 1.
    report: called in this thread as report(done, running, what `here` says or ""), the weight of the tasks
    done and of those running.
    A task that fails leaves out those that need what it did not give; after the rest the first failure is
    raised. A process that dies fails the task it held. Where none starts, a warning says so. An interruption,
    or an exception from `report`, ends the other processes and all of it at once; so does this one's end.
    """
    board = _Board(tasks, needs, gives, given, weight)

    def say(text: str = "") -> None:
        if report is not None:
            try:
                report(*board.counts(), text)
            except Exception as error:
                raise _Told(error) from error

    processes: set[BaseProcess] = set()
    threads: list[Thread] = []
    with ExitStack() as stack:
        try:
            for _ in range(jobs - 1):  # a pool each: one that breaks ends all of its processes
                pool = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), _enter, (begin,)))
                before = set(active_children())
                try:
                    begun = pool.submit(int)
                except (OSError, AssertionError) as refused:  # no memory, too many, or this one is a daemon
                    _alone(refused)
                    break
                processes |= set(active_children()) - before
                threads.append(Thread(target=_elsewhere, args=(board, pool, begun, there)))
                threads[-1].start()
            while (task := board.take(idle=say)) is not None:
                say()
                try:
                    here(task, say)
                except Exception as failure:
                    board.end(task, failure)
                else:
                    board.end(task)
        except BaseException as end:
            board.stop()
            for process in processes:
                process.terminate()
            if isinstance(end, _Told):
                raise end.error from None
            raise
        finally:
            for thread in threads:
                thread.join()
    if board.failures:
        raise board.failures[0]


def _elsewhere(board: _Board, pool: ProcessPoolExecutor, begun: Future, there: Callable[[Any], Any]) -> None:
    """Hand tasks to the pool's process until there are none, or no process."""
    try:
        begun.result()  # until it is there, others take the tasks
    except BrokenProcessPool as failure:
        if not board.stopped:
            _alone(failure)
        return
    while (task := board.take()) is not None:
        try:
            result = pool.submit(_do, there, task)
        except BrokenProcessPool:  # it died between two tasks: this one is for somebody else
            board.give_back(task)
            return
        try:
            result.result()
        except BaseException as failure:
            board.end(task, failure)
            if isinstance(failure, BrokenProcessPool):
                return
        else:
            board.end(task)


def _enter(begin: Callable[[], None] | None) -> None:
    """First in each process: it ends with its parent, whose end by a signal it would not notice otherwise."""
    Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin()


def _end_with_parent() -> None:
    parent_process().join()
    os._exit(1)


def _do(there: Callable[[Any], Any], task: Any) -> None:
    """In another process; a failure that cannot be sent is described in words."""
    try:
        there(task)
    except Exception as failure:
        try:
            pickle.loads(pickle.dumps(failure))
        except Exception:
            raise RuntimeError(f"{type(failure).__name__}: {failure}") from None
        raise


def _alone(why: BaseException) -> None:
    warnings.warn(f"no other process to work in ({why!r}); the work is done without it", stacklevel=2)
