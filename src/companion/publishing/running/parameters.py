"""Typed parameters of a notebook: read from its parameters cell, coerced, checked against their domains.

One parameter per line: `name: type = default  # domain: help`. The domain is optional and reads
`in (0, inf)`, `in [0, 1]` (the bracket says whether the end belongs to it) or `one of a, b, folder:PATH`
(`folder:PATH` stands for the prefix `folder:` and any text after it). It applies to each element of a list.
A list has at least one element, and none twice: two equal seeds would be taken for two repetitions. Where
repeats make sense, as in the widths of layers, the domain ends with `, repeats allowed`.
"""

import ast
import io
import math
import re
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from companion.publishing.paths import UserError, nearest


class ParameterError(UserError, ValueError):
    """A parameter that cannot be used: unknown name, unreadable value, value outside its domain."""

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in IPython: the stack says nothing to who mistyped a name."""
        return [f"ParameterError: {self}"]


def _number(value: Any) -> Any:
    """Turn text such as `8/255`, `1e-3`, `010` into a number; refuse truth values, to Python 0 and 1."""
    if isinstance(value, bool):
        raise ValueError("a truth value is not a number")
    if not isinstance(value, str):
        return value.item() if hasattr(value, "item") else value
    top, slash, bottom = value.partition("/")
    try:
        if slash:
            return float(top) / float(bottom)
        return float(value) if re.search(r"[.eEn]", value) else int(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError("not a number") from None


def _truth(value: Any) -> Any:
    """Accept true and false, as such or as text; a number is no truth value."""
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError("neither true nor false")


def _sequence(value: Any) -> Any:
    """Turn `0,1,2`, `[0, 1, 2]` and a single value into a list."""
    if isinstance(value, str):
        value = value.strip()
        if value.startswith("["):
            try:
                return yaml.load(value, Loader=yaml.BaseLoader)
            except yaml.YAMLError:
                raise ValueError("not a list") from None
        parts = [part.strip() for part in value.split(",")]
        if not all(parts):
            raise ValueError("an element is empty")
        return parts
    if isinstance(value, Mapping):
        raise ValueError("not a list")
    return list(value) if isinstance(value, Sequence) else [value]


_INT = Annotated[int, BeforeValidator(_number)]
_FLOAT = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number)]
_BOOL = Annotated[bool, BeforeValidator(_truth)]
_STR = Annotated[str, Field(strict=True)]
_ADAPTERS = {
    "int": TypeAdapter(_INT),
    "float": TypeAdapter(_FLOAT),
    "bool": TypeAdapter(_BOOL),
    "str": TypeAdapter(_STR),
    "list[int]": TypeAdapter(Annotated[list[_INT], BeforeValidator(_sequence)]),
    "list[float]": TypeAdapter(Annotated[list[_FLOAT], BeforeValidator(_sequence)]),
    "list[str]": TypeAdapter(Annotated[list[_STR], BeforeValidator(_sequence)]),
}
_WANTED = {
    "int": "a whole number such as 3",
    "float": "a finite number such as 0.5, 1e-3 or 8/255",
    "bool": "true or false",
    "str": "text",
    "list[int]": "whole numbers such as 0,1,2",
    "list[float]": "finite numbers such as 0.5,8/255",
    "list[str]": "texts such as a,b",
}
_REPEATS = ", repeats allowed"


@dataclass(frozen=True)
class Interval:
    """Numbers between two ends; `text` is the domain as written."""

    low: float
    high: float
    low_closed: bool
    high_closed: bool
    text: str

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.low_closed else value > self.low
        below = value <= self.high if self.high_closed else value < self.high
        return above and below


@dataclass(frozen=True)
class Choices:
    """A list of words; one that ends in `:PATH` stands for its prefix followed by any text."""

    words: tuple[str, ...]
    text: str

    def __contains__(self, value: Any) -> bool:
        return any(self._matches(word, value) for word in self.words)

    @staticmethod
    def _matches(word: str, value: Any) -> bool:
        if not isinstance(value, str):
            return _number(word) == value
        if word.endswith(":PATH"):
            prefix = word.removesuffix("PATH")
            return value.startswith(prefix) and bool(value.removeprefix(prefix).strip())
        return value == word


@dataclass(frozen=True)
class Parameter:
    """One declared parameter of a notebook."""

    name: str
    type: str
    default: Any
    domain: Interval | Choices | None
    help: str
    repeats: bool = False

    def coerce(self, value: Any, origin: str = "") -> Any:
        """Return `value` in this parameter's type.

        Raises ParameterError (naming `origin`, where the value came from) if it cannot be read or lies
        outside the domain, or if a list is empty or, without `repeats`, holds an element twice.
        """
        said = f"{self.name} = {_brief(value)}{f' (from {origin})' if origin else ''}"
        try:
            result = _ADAPTERS[self.type].validate_python(value)
        except ValidationError:
            raise ParameterError(f"{said}: write {_WANTED[self.type]}") from None
        elements = result if isinstance(result, list) else [result]
        if not elements:
            raise ParameterError(f"{said}: write {_WANTED[self.type]}, at least one")
        for element in elements:
            if self.domain is not None and element not in self.domain:
                raise ParameterError(f"{said}: {self._mend(element)}")
            if not self.repeats and elements.count(element) > 1:
                raise ParameterError(f"{said}: {_brief(element)} is given twice; write each value once")
        return result

    def _mend(self, element: Any) -> str:
        """Say what `element` should have been."""
        which = f"{_brief(element)} must be" if self.type.startswith("list") else "must be"
        if isinstance(self.domain, Interval):
            return f"{which} {self.domain.text}"
        close = nearest(str(element), self.domain.words)
        return f"{which} {self.domain.text}" + (f"; {close}" if close.startswith("did") else "")


def _brief(value: Any) -> str:
    """Return a value on one short line for a message."""
    text = " ".join((value if isinstance(value, str) else repr(value)).split()) or "''"
    return text if len(text) <= 80 else text[:77] + "..."


def declared(source: str) -> dict[str, Parameter]:
    """Read the parameters that a cell declares, in their order.

    Raises ParameterError, naming the line, for anything else than `name: type = literal  # help`, for a
    second `=` in a line (papermill then overlooks the line) and for a default outside its own domain.
    """
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ParameterError(f"parameters cell, line {error.lineno}: {error.msg}") from None
    lines = source.splitlines()
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for node in body:
        where = f"parameters cell, line '{lines[node.lineno - 1].strip()}'"
        if not _is_declaration(node) or node.lineno != node.end_lineno:
            raise ParameterError(f"{where}: write one `name: type = default  # help` per line")
        kind = ast.unparse(node.annotation)
        if kind not in _ADAPTERS:
            raise ParameterError(f"{where}: type {kind} is none of {', '.join(_ADAPTERS)}")
        if lines[node.lineno - 1].count("=") > 1:
            raise ParameterError(f"{where}: a second '=' hides the line from papermill; reword the help")
        if node.target.id in found:
            raise ParameterError(f"{where}: '{node.target.id}' is declared twice")
        domain, repeats, text = _domain(comments.get(node.lineno, ""), kind, where)
        parameter = Parameter(node.target.id, kind, None, domain, text, repeats)
        default = parameter.coerce(_literal(node.value, where), origin="the parameters cell")
        found[parameter.name] = replace(parameter, default=default)
    return found


def is_parameters_cell(source: str) -> bool:
    """Say whether a cell holds declarations and nothing else."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return bool(body) and all(_is_declaration(node) for node in body)


def assigned_names(source: str) -> list[str]:
    """Return the names that a cell assigns at its top level, in order."""
    names = []
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def _is_declaration(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None


def _comments(source: str) -> dict[int, str]:
    """Return the comment of each line that has one."""
    tokens = tokenize.generate_tokens(io.StringIO(source + "\n").readline)
    return {t.start[0]: t.string.lstrip("#").strip() for t in tokens if t.type == tokenize.COMMENT}


def _literal(node: ast.expr, where: str) -> Any:
    """Return the value of a literal, which may hold fractions such as `8 / 255`."""
    if isinstance(node, ast.List):
        return [_literal(element, where) for element in node.elts]
    try:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return ast.literal_eval(node.left) / ast.literal_eval(node.right)
        return ast.literal_eval(node)
    except (ValueError, TypeError, ZeroDivisionError):
        raise ParameterError(f"{where}: the default must be a literal") from None


def _domain(comment: str, kind: str, where: str) -> tuple[Interval | Choices | None, bool, str]:
    """Split a comment into the domain it starts with, if any, whether lists may repeat, and the help."""
    # The colon of `folder:PATH` has no blank after it, so it does not end the domain.
    head, _, rest = comment.partition(": ")
    head = head.removesuffix(":").strip()
    repeats = head.endswith(_REPEATS)
    head = head.removesuffix(_REPEATS)
    numeric = kind.removeprefix("list[").rstrip("]") in ("int", "float")
    if re.match(r"in\s*[\[(]", head):
        match = re.fullmatch(r"in\s*([\[(])([^,]+),([^,]+)([\])])", head)
        if match and numeric:
            try:
                low, high = (_end(match[2]), _end(match[3]))
            except ValueError:
                match = None
        if not match or not numeric or not low < high:
            raise ParameterError(f"{where}: '{head}' is no interval of numbers such as 'in (0, inf)'")
        return Interval(low, high, match[1] == "[", match[4] == "]", head), repeats, rest.strip()
    if head.startswith("one of "):
        words = tuple(word.strip() for word in head.removeprefix("one of ").split(","))
        readable = kind != "bool" and (not numeric or all(_is_number(word) for word in words))
        if not all(words) or not readable:
            raise ParameterError(f"{where}: '{head}' is no list of words such as 'one of a, b'")
        return Choices(words, head), repeats, rest.strip()
    return None, False, comment


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(_number(text))
    except ValueError:
        return False


def _end(text: str) -> float:
    """Return an end of an interval; `inf` and `-inf` are allowed here."""
    value = float(_number(text.strip()))
    if math.isnan(value):
        raise ValueError("nan ends no interval")
    return value


def assignment(text: str) -> tuple[str, str]:
    """Split `NAME=VALUE`.

    Raises ParameterError if there is no `=` or no name.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ParameterError(f"-p {_brief(text)}: write -p NAME=VALUE")
    return name.strip(), value


def load_yaml(path: Path, label: str) -> dict[str, Any]:
    """Read a parameter file with every scalar as text, so that the declared type decides what it means.

    YAML 1.1 would turn `no` into False, `010` into 8 and leave `1e-3` a string. Raises ParameterError, with
    `label` as the file's name, if the file is missing, unreadable, no mapping, or names a parameter twice.
    """
    try:
        node = yaml.compose(path.read_text("utf-8"), Loader=yaml.BaseLoader)
        values = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"{label}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from None
    except yaml.YAMLError as error:
        raise ParameterError(f"{label}: not YAML ({' '.join(str(error).split())})") from None
    if node is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ParameterError(f"{label}: write one `name: value` per line")
    keys = [key.value for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise ParameterError(f"{label}: '{key}' is given twice")
    return values


def resolve(
    parameters: Mapping[str, Parameter], layers: Sequence[tuple[str, Mapping[str, Any]]], notebook: str
) -> dict[str, Any]:
    """Return the value of every parameter: its default, overridden by each layer `(origin, values)` in turn.

    Raises ParameterError for a name that `notebook` does not declare (with the nearest one) and for any
    value, even one a later layer overrides, that cannot be used.
    """
    values = {name: parameter.default for name, parameter in parameters.items()}
    for origin, given in layers:
        for name, value in given.items():
            if name not in parameters:
                raise ParameterError(unknown(name, parameters, notebook, origin))
            values[name] = parameters[name].coerce(value, origin)
    return values


def unknown(name: str, known: Mapping[str, Parameter], notebook: str, origin: str = "") -> str:
    """Return the message for a parameter that a notebook does not declare."""
    source = f" (from {origin})" if origin else ""
    return f"{notebook} has no parameter '{_brief(name)}'{source}; {nearest(name, known)}"
