"""A hash of source code that comments, docstrings and layout do not change."""

import ast
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parent


@lru_cache
def fingerprint(*names: str) -> str:
    """16 hex digits for the code of the package's modules and subpackages `names`, as first asked for."""
    roots = [PACKAGE / name for name in names]
    files = {
        f for root in roots for f in (root.rglob("*.py") if root.is_dir() else [root.with_suffix(".py")])
    }
    return code_hash({f.relative_to(PACKAGE).as_posix(): f.read_text("utf-8") for f in files})


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
