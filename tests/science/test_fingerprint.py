from companion.fingerprint import code_hash, fingerprint

SOURCE = 'def f(x):\n    """Says."""\n    return x + 1  # why\n'


def test_comments_docstrings_and_layout_do_not_count():
    other = 'def f(x):\n\n    """Says something else."""\n    return (x + 1)\n'
    assert code_hash({"a.py": SOURCE}) == code_hash({"a.py": other})


def test_code_and_file_names_count():
    changed = [{"a.py": SOURCE.replace("1", "2")}, {"b.py": SOURCE}, {"a.py": SOURCE, "b.py": ""}]
    changed.append({"a.py": "def f(x:\n"})
    changed.append({"a.py": 'def f(x):\n    return "Says."\n'})
    assert len({code_hash(c) for c in [{"a.py": SOURCE}, *changed]}) == 6


def test_modules_and_subpackages_are_found():
    assert fingerprint("guards") != fingerprint("attacks") != fingerprint("guards", "attacks")
