"""A hash of source code that comments, docstrings and layout do not change.

What a result depends on is found by following import statements, so that a new loss or attack changes no
hash of code that does not use it. This is sound because science imports by statements only, never by
`importlib` (a test sees to it), and because a module counts as a whole.
"""

import ast
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parent
NAME = PACKAGE.name


@lru_cache
def fingerprint(*modules: str, without: str = "") -> str:
    """16 hex digits for the code of the package's modules and of what they import of it, as first asked for.

    modules: dotted names, such as "companion.attacks.pgd". Imported third-party code does not count.
    without: as in `reached`.
    """
    return code_hash({name: _read(name) for name in reached(*modules, without=without)})


def reached(*modules: str, without: str = "") -> set[str]:
    """The package's modules that `modules` are made of: themselves and all they import, in functions too.

    A name imported from a subpackage leads to the module that the subpackage's __init__ takes it from; a
    subpackage imported as a whole leads to everything its __init__ imports.
    without: a module that is neither counted nor followed.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and name != without:
            found.add(name)
            waiting += _imports(name)
    return found


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
