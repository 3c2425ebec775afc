from companion import attacks, metrics
from companion import fingerprint as fingerprint_module
from companion.fingerprint import code_hash, code_of, reached
from companion.guards import check_norm

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


def test_a_function_depends_on_what_it_names():
    def measure():
        return {"a": [attacks.fgsm for _ in range(3)], "b": local()}

    def unrelated():
        return metrics.jacobian_norms

    modules, sources = fingerprint_module._called(measure, {})
    assert modules == {"companion.attacks.fgsm", "companion.guards"}
    assert [name.split(".")[-1] for name in sources] == ["measure", "local", "also_local"]
    assert code_of(measure) != code_of(unrelated)


def local():
    return also_local(check_norm)


def also_local(function):
    return function


def test_a_class_counts_with_its_methods_and_what_they_name():
    class Scaled:
        def forward(self):
            return check_norm

    def measure():
        return Scaled()

    before = code_of(measure)
    assert fingerprint_module._called(measure, {})[0] == {"companion.guards"}
    Scaled.forward = lambda self: 2
    assert code_of(measure) != before


def test_a_changed_helper_changes_the_hash():
    def measure():
        return helper()

    def helper():
        return 1

    before = code_of(measure)

    def helper():  # noqa: F811
        return 2

    assert code_of(measure) != before
