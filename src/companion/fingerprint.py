"""A hash of source code that comments, docstrings and layout do not change.

What a result depends on is found by following imports, so that a new loss or attack changes no hash of
code that does not use it.
"""

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from inspect import getclosurevars, getsource, isclass, isfunction, ismodule, unwrap
from pathlib import Path
from textwrap import dedent
from types import CodeType
from typing import Any

PACKAGE = Path(__file__).parent
NAME = PACKAGE.name


@lru_cache
def fingerprint(*modules: str) -> str:
    """16 hex digits for the code of the package's modules and of what they import of it, as first asked for.

    modules: dotted names, such as "companion.attacks.pgd". Imported third-party code does not count.
    """
    return code_hash({name: _read(name) for name in reached(*modules)})


def reached(*modules: str) -> set[str]:
    """The package's modules that `modules` are made of: themselves and all they import, in functions too.

    A name imported from a subpackage leads to the module that the subpackage's __init__ takes it from; a
    subpackage imported as a whole leads to everything its __init__ imports.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(name)
    return found


def code_of(function: Callable[..., Any]) -> str:
    """32 hex digits for a function's source and for all code it calls that is not third-party.

    Followed are the package's functions and subpackages it names, and functions and classes of the same
    notebook or script, in their turn. Values it closes over do not count.
    """
    modules, local = _called(unwrap(function), {})
    return code_hash(local) + fingerprint(*sorted(modules))


def _called(function: Any, local: dict[str, str]) -> tuple[set[str], dict[str, str]]:
    """Modules of the package that `function` names, and sources of the notebook's functions, itself first."""
    local[function.__qualname__] = "".join(dedent(getsource(f)) for f in _functions(function))
    modules: set[str] = set()
    for code in _codes(function):
        for value in _named(function, code):
            home = getattr(value, "__module__", None) or ""
            if ismodule(value) and _ours(value.__name__):
                named = {_home(value.__name__, n) for n in code.co_names if hasattr(value, n)}
                modules |= named or {value.__name__}
            elif not (isfunction(value) or isclass(value)):
                continue
            elif _ours(home):
                modules.add(home)
            elif home == function.__module__ and value.__qualname__ not in local:
                modules |= _called(value, local)[0]
    return modules, local


def _functions(function: Any) -> list[Any]:
    """The function itself, or a class's methods: of a class made in a notebook no source is to be had."""
    return [m for m in vars(function).values() if isfunction(m)] if isclass(function) else [function]


def _codes(function: Any) -> Iterator[CodeType]:
    """The code of a function, or of a class's methods, with the functions and comprehensions inside."""
    waiting = [f.__code__ for f in _functions(function)]
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [c for c in code.co_consts if isinstance(c, CodeType)]


def _named(function: Any, code: CodeType) -> list[Any]:
    """What the names in `code` stand for: globals of the function's module, and what it closes over."""
    scope = vars(sys.modules[function.__module__]) if isclass(function) else function.__globals__
    enclosed = {} if isclass(function) else getclosurevars(function).nonlocals
    names = [*code.co_names, *code.co_freevars]
    return [enclosed.get(n, scope.get(n)) for n in names]


def _ours(module: str) -> bool:
    return module == NAME or module.startswith(f"{NAME}.")


def _read(module: str) -> str:
    return _path(module).read_text("utf-8")


def _path(module: str) -> Path:
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


@lru_cache
def _imports(module: str) -> list[str]:
    """The package's modules that a module imports, without the __init__ files passed on the way."""
    found = []
    for node in ast.walk(ast.parse(_read(module))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if _ours(alias.name)]
        elif isinstance(node, ast.ImportFrom) and _ours(node.module or ""):
            found += [_home(node.module, alias.name) for alias in node.names]
    return found


def _home(module: str, name: str) -> str:
    """The module that `from module import name` leads to."""
    if _path(f"{module}.{name}").is_file():
        return f"{module}.{name}"
    if _path(module).name == "__init__.py":
        for node in ast.walk(ast.parse(_read(module))):
            if isinstance(node, ast.ImportFrom) and _ours(node.module or ""):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return _home(node.module, alias.name)
    return module


def code_hash(sources: Mapping[str, str]) -> str:
    """16 hex digits for files by name: their syntax trees without docstrings, or text that does not parse."""
    total = hashlib.sha256()
    for name, text in sorted(sources.items()):
        total.update(f"{name}\0{_meaning(text)}\0".encode())
    return total.hexdigest()[:16]


def _meaning(text: str) -> str:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                del node.body[0]
    return ast.dump(tree)
