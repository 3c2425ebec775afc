"""Hashes of code, and that no import is hidden from them."""

import ast

from companion import code
from companion.code import code_hash, reached

SOURCE = 'def f(x):\n    """Says."""\n    return x + 1  # why\n'


def test_comments_docstrings_and_layout_do_not_count():
    other = 'def f(x):\n\n    """Says something else."""\n    return (x + 1)\n'
    assert code_hash({"a.py": SOURCE}) == code_hash({"a.py": other})


def test_code_and_file_names_count():
    changed = [{"a.py": SOURCE.replace("1", "2")}, {"b.py": SOURCE}, {"a.py": SOURCE, "b.py": ""}]
    changed.append({"a.py": "def f(x:\n"})
    changed.append({"a.py": 'def f(x):\n    return "Says."\n'})
    assert len({code_hash(c) for c in [{"a.py": SOURCE}, *changed]}) == 6


def test_imports_are_followed_to_the_module_that_defines_a_name():
    found = reached("companion.attacks.fgsm")
    assert {
        f"companion.{name}" for name in ("attacks.fgsm", "attacks.pgd", "attacks.norms", "guards")
    } <= found
    assert (
        not {"companion.attacks", "companion.attacks.evaluate", "companion.losses", "companion.data"} & found
    )
    # through transforms/adversarial.py's `from companion.attacks import pgd`, not all of attacks
    assert "companion.attacks.evaluate" not in reached("companion.transforms.adversarial")
    assert "companion.attacks.evaluate" in reached("companion.attacks")


def test_science_imports_by_statements_alone():
    """What importlib imports could not be followed."""
    hidden = {"importlib", "import_module", "__import__", "exec", "eval"}
    for path in code.PACKAGE.rglob("*.py"):
        if "publishing" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            called = getattr(node, "func", None)
            names += [called.id] if isinstance(called, ast.Name) else []
            assert not hidden & set(names), f"{path}: {names}"
