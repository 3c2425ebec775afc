"""What a chapter calls inside its kernel: check the parameters, record results, show where they come from.

from companion.publishing.running import chapter
run = chapter.begin(globals())
"""

import contextlib
import html
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Any

import pandas as pd

from companion.files import write_atomic
from companion.publishing import paths
from companion.publishing.claims import rows
from companion.publishing.pages import badges
from companion.publishing.paths import UserError
from companion.publishing.running import parameters, provenance
from companion.publishing.running.parameters import Parameter, ParameterError
from companion.shown import Shown

_INJECTED = "# Parameters"


class Run:
    """The run of one chapter in this kernel: its parameters, its folder and the rows it records."""

    def __init__(
        self, notebook: str | None, folder: Path, declared: Mapping[str, Parameter], values: dict[str, Any]
    ):
        self.notebook = notebook
        self.profile = os.environ.get("COMPANION_PROFILE")
        self.parameters = values
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._places: dict[frozenset[tuple[str, Any]], tuple[int, Any]] = {}
        self.checks: dict[str, list[dict[str, Any]]] = {}
        self._declared = declared
        self._device: str | None = None
        self._started = provenance.now()
        self._clock = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        self._write()

    def record(
        self,
        experiment: str,
        quantity: str,
        value: Any,
        *,
        sd: Any = None,
        n: int | None = None,
        **labels: Any,
    ) -> None:
        """Add a row to results.json: a number, its spread `sd` over `n` repetitions, and what it belongs to.

        value: a number, or a list of one number for each repetition, such as one for each seed in order: then
        mean, sd and n are written, and the list as `values`, by which claims are decided.
        A row with the same experiment, quantity and labels is replaced, so a cell may be executed again; one
        execution that records it twice raises ValueError, since one of the two would be lost.
        A value that is not finite is written as null. Raises TypeError for a value that is no number.
        """
        self._place(experiment, quantity, value, sd=sd, n=n, **labels)
        self._write()

    def record_frame(
        self, experiment: str, frame: Any, labels: Iterable[str] = ("model",), **more: Any
    ) -> None:
        """Add the measurements of a frame: a row for each quantity and combination of labels, a value a seed.

        frame: what companion.experiment.measure returns. labels: its columns that become labels; `more`:
        labels of all its rows. Verdicts on images are kept as text, such as "1101", one a seed, so that
        accuracies can be compared image by image. Clashes and errors as in `record`.
        """
        names = ["quantity", *labels]
        for values, group in frame.groupby(names, sort=False):
            of = dict(zip(names, values, strict=True))
            verdicts = [_bits(v) for v in group["images"]] if "images" in group else []
            kept = {"correct": verdicts} if verdicts and None not in verdicts else {}
            self._place(experiment, of.pop("quantity"), list(group["value"]), kept, **of, **more)
        self._write()

    def _place(
        self,
        experiment: str,
        quantity: str,
        value: Any,
        kept: Mapping[str, Any] = MappingProxyType({}),
        /,  # so that a label may be called "kept"
        *,
        sd: Any = None,
        n: int | None = None,
        **labels: Any,
    ) -> None:
        row: dict[str, Any] = {"experiment": experiment, "quantity": quantity, "value": None, **kept}
        if isinstance(value, list | tuple):
            row |= _repeated([_plain(v) for v in value])
        else:
            row["value"] = _plain(value)
        if sd is not None:
            row["sd"] = _plain(sd)
        if n is not None:
            row["n"] = int(n)
        row |= {name: label if isinstance(label, str) else _plain(label) for name, label in labels.items()}
        identity = frozenset((key, what) for key, what in row.items() if key not in rows.NUMBERS)
        execution = _execution()
        place, before = self._places.get(identity, (len(self.rows), None))
        if before is not None and before == execution:
            raise ValueError(self._clash(self.rows[place], row))
        self._places[identity] = place, execution
        self.rows[place : place + 1] = [row]

    def _clash(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
        of = {k: v for k, v in second.items() if k not in (*rows.NUMBERS, "experiment", "quantity")}
        labels = ", ".join(f"{k}={v}" for k, v in of.items()) or "no labels"
        return (
            f"{self.notebook or 'this notebook'}: {second['experiment']}, {second['quantity']} ({labels}) is "
            f"recorded twice in one run of a cell, as {first['value']} and as {second['value']}; "
            "add a label in which the two differ"
        )

    def check(self, name: str, report: Any, *, expected: Iterable[str] = ()) -> badges.Checked:
        """Add a net's evaluation checks to results.json and return their badge, which a cell shows.

        name: the net's, as in the chapter's tables. report: what companion.checks returns, or anything whose
        as_dict() has `norm`, `eps`, `n` and `checks`. Checks of the same net and ball are replaced, so a cell
        may be executed again. expected: rows that may fail, where failing is the point.
        Raises CheckFailed, in one line, on any other row that failed; results.json has it by then.
        """
        given = report.as_dict()
        about = {key: given[key] for key in ("norm", "eps", "n")}
        new = [row | about for row in given["checks"]]
        others = [
            row
            for row in self.checks.get(name, [])
            if (row["norm"], row["eps"]) != (about["norm"], about["eps"])
        ]
        self.checks[name] = others + new
        self._write()
        checked = badges.Checked(name, new, frozenset(expected))
        checked.refuse()
        return checked

    def recorded(self) -> list[dict[str, Any]]:
        """Return the rows of the run recorded as results/NOTEBOOK.json; none if there is no such file."""
        return self._record().get("rows", [])

    def recorded_frame(self, experiment: str) -> pd.DataFrame:
        """Return the recorded run's rows of an experiment, one for each value (a seed's); empty if none."""
        asked = [row for row in self.recorded() if row["experiment"] == experiment]
        return pd.DataFrame([{**row, "value": value} for row in asked for value in row["values"]])

    def recorded_run(self) -> dict[str, Any]:
        """Return what run.json said of the recorded run: parameters, date, device, commit; empty if none."""
        return self._record().get("run", {})

    def recorded_when(self) -> str:
        """Return the day of the recorded run, and whether the chapter has changed since; empty if none."""
        from companion.publishing.running import notebooks

        about, source = self.recorded_run(), notebooks.source_path(self.notebook or "")
        if not about:
            return ""
        same = source.is_file() and about.get("code") == notebooks.code_hash(notebooks.read(source))
        return about["started"][:10] + ("" if same else ", by an earlier version of this chapter")

    def _record(self) -> dict[str, Any]:
        path = _root() / "results" / f"{self.notebook}.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def budgets(self) -> list[dict[str, Any]]:
        """Return what runs of this notebook cost: this one so far, other profiles' here, the recorded one.

        Each has `run`, `wall_s`, `cpu_s`, `peak_memory_mb` and `device`; None where it is not known.
        """
        this = {
            "run": f"this run ({self.profile or 'live'}), so far",
            "wall_s": time.monotonic() - self._clock,
            "cpu_s": _with_children(provenance.cpu_seconds, sum),
            "peak_memory_mb": _with_children(provenance.peak_memory_mb, max),
            "device": self._device,
        }
        records = [("recorded run", self.recorded_run())]
        for path in sorted((_root() / "runs").glob(f"*/{self.notebook}/run.json")):
            if path.parts[-3] != self.profile:
                with contextlib.suppress(ValueError):  # a damaged record: that run is as good as none
                    records.append((f"profile {path.parts[-3]}", json.loads(path.read_text("utf-8"))))
        asked = ("wall_s", "cpu_s", "peak_memory_mb", "device")
        return [this, *({"run": name} | {k: r.get(k) for k in asked} for name, r in records if r)]

    def later(self, name: str) -> None:
        """Hold a place in the notebook for what is computed further down: see `fill`."""
        from IPython.display import display

        waiting = "<p><em>This appears when the cells below have run.</em></p>"
        display(Shown(waiting), display_id=f"{self.notebook}-{name}")

    def fill(self, name: str, shown: Any) -> None:
        """Put a figure, a table or HTML where `later` held a place."""
        from IPython.display import update_display

        update_display(shown, display_id=f"{self.notebook}-{name}")

    def set_device(self, device: Any) -> None:
        """Note what the run computes on, such as `cpu` or the name of the GPU."""
        self._device = str(device)
        self._write()

    def status(self, text: str) -> None:
        """Show in the runner's progress bar, in one line, what is being done now."""
        write_atomic(self.folder / "status", " ".join(str(text).split()))

    def announce(self, text: str) -> None:
        """Show the reader a lasting line: in the notebook, and above the runner's progress bar."""
        print(text)
        with (self.folder / "announcements").open("a", encoding="utf-8") as file:
            file.write(" ".join(str(text).split()) + "\n")

    def provenance_strip(self) -> Shown:
        """Return a strip for the end of the page: what ran, how, on what, and the command that repeats it."""
        items = "".join(
            f'<span class="cmp-strip-item"><b>{html.escape(name)}</b> {html.escape(text)}</span> '
            for name, text in self._facts()
        )
        command = f"<code>{html.escape(self._command())}</code>"
        return Shown(
            f'<div class="cmp-strip">{items}<div class="cmp-strip-repeat"><b>repeat</b> {command}</div></div>'
        )

    def _facts(self) -> list[tuple[str, str]]:
        commit, dirty = provenance.commit(_root())
        versions = provenance.versions()
        changed = {k: v for k, v in self.parameters.items() if v != self._declared[k].default}
        facts = [
            ("profile", self.profile or "none"),
            ("parameters", ", ".join(f"{k}={v}" for k, v in changed.items()) or "the notebook's defaults"),
            (
                "commit",
                f"{commit[:10]}{' with uncommitted changes' if dirty else ''}" if commit else "not in git",
            ),
            ("device", self._device or "not said"),
            ("python", versions["python"] or ""),
            ("torch", versions["torch"] or "not installed"),
            ("started", self._started.replace("T", " ").replace("+00:00", " UTC")),
            ("ran for", f"{time.monotonic() - self._clock:.0f} s"),
        ]
        memory = provenance.peak_memory_mb()
        return facts if memory is None else [*facts, ("peak memory", f"{memory:.0f} MB")]

    def _command(self) -> str:
        from companion.publishing.running import notebooks

        name, profile = self.notebook or "NOTEBOOK", self.profile or "quick"
        try:
            layer = notebooks.profile_values(name, profile)
            base = parameters.resolve(self._declared, [layer], name)
        except UserError:  # no such profile here: then every value is named
            base = {}
        return notebooks.repeat_command(name, profile, self.parameters, base)

    def _write(self) -> None:
        content = {
            "rows": self.rows,
            "checks": self.checks,
            "device": self._device,
            "peak_memory_mb": provenance.peak_memory_mb(),
        }
        write_atomic(self.folder / "results.json", json.dumps(content, indent=1, allow_nan=False) + "\n")


def begin(namespace: MutableMapping[str, Any], notebook: str | None = None) -> Run:
    """Check and coerce every declared parameter in `namespace`, in place, and open the run's folder.

    `namespace` is the notebook's `globals()`; `notebook` its name, needed only where no runner says it.
    Raises ParameterError for a name that papermill injected and the parameters cell does not declare, for a
    value that cannot be used, and where no parameters cell was executed before.
    """
    name = os.environ.get("COMPANION_NOTEBOOK") or notebook
    executed = [source for source in namespace.get("In", []) if isinstance(source, str)]
    declared = _declared(executed)
    for injected in [cell for cell in executed if cell.split("\n", 1)[0].strip() == _INJECTED][-1:]:
        for given in parameters.assigned_names(injected):
            if given not in declared:
                raise ParameterError(parameters.unknown(given, declared, name or "this notebook"))
    missing = [key for key in declared if key not in namespace]
    if missing:
        raise ParameterError(f"'{missing[0]}' has no value; run the parameters cell first")
    values = {key: parameter.coerce(namespace[key]) for key, parameter in declared.items()}
    namespace.update(values)
    return Run(name, _folder(name), declared, values)


def _with_children(
    measure: Callable[..., float | None], combine: Callable[[list[float]], float]
) -> float | None:
    values = [measure(), measure(children=True)]
    return None if None in values else combine(values)


def _declared(executed: list[str]) -> dict[str, Parameter]:
    """Return the parameters of the parameters cell, as last executed."""
    cells = [source for source in executed if parameters.is_parameters_cell(source)]
    if not cells:
        raise ParameterError("no parameters cell was executed; run the cells from the top")
    # The first is the parameters cell; a later one that shares a name is that cell, edited and run again.
    first = set(parameters.declared(cells[0]))
    return parameters.declared([c for c in cells if first & set(parameters.assigned_names(c))][-1])


def _folder(name: str | None) -> Path:
    given = os.environ.get("COMPANION_RUN_DIR")
    return Path(given) if given else _root() / "runs" / "live" / (name or "notebook")


def _root() -> Path:
    """Return the checkout, or the working directory where there is none (a notebook opened in Colab)."""
    try:
        return paths.root()
    except UserError:
        return Path.cwd()


def _execution() -> int:
    """The number of the cell's execution; 0 where no cell is executed twice: a runner's kernel, a script."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return 0 if shell is None or os.environ.get("COMPANION_RUN_DIR") else shell.execution_count


def _repeated(values: list[float | None]) -> dict[str, Any]:
    """Mean, spread (none for one), number and list; a repetition without a value leaves no mean."""
    if None in values or not values:
        return {"value": None, "n": len(values), "values": values}
    found = {"value": fmean(values), "n": len(values), "values": values}
    return found | ({"sd": stdev(values)} if len(values) > 1 else {})


def _bits(verdicts: Any) -> str | None:
    """Truth values, one an image, as text; None for anything else, such as fractions of restarts."""
    if not isinstance(verdicts, list) or any(v not in (0, 1) for v in verdicts):
        return None
    return "".join("01"[int(v)] for v in verdicts)


def _plain(value: Any) -> int | float | None:
    """Return a number, NumPy's and a tensor with one element too, as JSON knows it; null if not finite."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, bool):
        return None if value is None else int(value)
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number; labels may also be text")
    return value if math.isfinite(value) else None
