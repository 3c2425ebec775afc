"""A hash of source code that comments, docstrings and layout do not change."""

import ast
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def source_files(*names: str) -> list[Path]:
    """The .py files of the modules and subpackages `names`; of the whole package when none is given."""
    roots = [PACKAGE / name for name in names] or [PACKAGE]
    files = [
        f for root in roots for f in (root.rglob("*.py") if root.is_dir() else [root.with_suffix(".py")])
    ]
    return sorted(set(files))


@lru_cache
def fingerprint(*names: str) -> str:
    """16 hex digits for the code of the package's modules `names`, as it is when first asked for."""
    return code_hash(f.read_text("utf-8") for f in source_files(*names))


def code_hash(sources: Iterable[str]) -> str:
    """16 hex digits of the syntax trees of `sources`, docstrings removed."""
    total = hashlib.sha256()
    for source in sources:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and _is_text(body[0]):
                body[0] = ast.Pass()
        total.update(ast.dump(tree).encode())
    return total.hexdigest()[:16]


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
