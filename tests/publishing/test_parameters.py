"""Declarations, coercion, domains, nearest names, YAML."""

import math

import pytest

from companion.publishing.running.parameters import (
    ParameterError,
    assignment,
    declared,
    is_parameters_cell,
    load_yaml,
    resolve,
)


def one(line: str):
    """Return the one parameter that a line declares."""
    (parameter,) = declared(line).values()
    return parameter


@pytest.mark.parametrize(
    "line, value, wanted",
    [
        ("x: float = 1.0", "8/255", 8 / 255),
        ("x: float = 1.0", " 8 / 255 ", 8 / 255),
        ("x: float = 1.0", "1e-3", 1e-3),
        ("x: float = 1.0", "1E3", 1000.0),
        ("x: float = 1.0", "-.5", -0.5),
        ("x: float = 1.0", 3, 3.0),
        ("x: int = 1", "3", 3),
        ("x: int = 1", 3.0, 3),
        ("x: int = 1", "3.0", 3),
        ("x: int = 1", "1e3", 1000),
        ("x: int = 1", "010", 10),
        ("x: bool = False", "true", True),
        ("x: bool = True", "False", False),
        ("x: bool = True", False, False),
        ('x: str = ""', "no", "no"),
        ("x: list[int] = [0]", "0,1, 2", [0, 1, 2]),
        ("x: list[int] = [0]", "[0, 1]", [0, 1]),
        ("x: list[int] = [0]", "7", [7]),
        ("x: list[int] = [0]", 7, [7]),
        ("x: list[int] = [0]", (1, 2.0), [1, 2]),
        ("x: list[float] = [0.0]", "[8/255, 1e-3]", [8 / 255, 1e-3]),
        ("x: list[float] = [0.0]", ["8/255", 1], [8 / 255, 1.0]),
        ('x: list[str] = [""]', 'a, b c,"d"', ["a", "b c", '"d"']),
        ('x: list[str] = [""]', '["a, b", c]', ["a, b", "c"]),
        ('x: list[str] = [""]', "[no, 010, 1e3]", ["no", "010", "1e3"]),
        ("x: list[int] = [0]", "[010]", [10]),
    ],
)
def test_coercion(line, value, wanted):
    result = one(line).coerce(value)
    assert result == wanted
    assert type(result) is type(wanted)
    if isinstance(wanted, list):
        assert [type(a) for a in result] == [type(b) for b in wanted]


@pytest.mark.parametrize(
    "line, value",
    [
        ("x: int = 1", 3.5),
        ("x: int = 1", "3.5"),
        ("x: int = 1", "1/2"),
        ("x: int = 1", True),
        ("x: int = 1", "inf"),
        ("x: float = 1.0", True),
        ("x: float = 1.0", "true"),
        ("x: float = 1.0", "abc"),
        ("x: float = 1.0", ""),
        ("x: float = 1.0", "1/0"),
        ("x: float = 1.0", "1/2/3"),
        ("x: float = 1.0", "nan"),
        ("x: float = 1.0", "inf"),
        ("x: float = 1.0", "-Infinity"),
        ("x: float = 1.0", "1e999"),
        ("x: float = 1.0", math.nan),
        ("x: float = 1.0", math.inf),
        ("x: float = 1.0", None),
        ("x: float = 1.0", [1.0]),
        ("x: bool = True", 1),
        ("x: bool = True", "yes"),
        ("x: bool = True", "1"),
        ('x: str = "a"', 3),
        ('x: str = "a"', False),
        ("x: list[int] = [0]", "0,1.5"),
        ("x: list[int] = [0]", "0,,1"),
        ("x: list[int] = [0]", ""),
        ("x: list[int] = [0]", "[0, [1]]"),
        ("x: list[int] = [0]", "[0, 1"),
        ("x: list[int] = [0]", [True]),
        ("x: list[int] = [0]", {"a": 1}),
        ("x: list[float] = [0.0]", "0,nan"),
        ("x: list[int] = [0]", "[]"),
        ("x: list[int] = [0]", []),
        ('x: list[str] = ["a"]', ()),
    ],
)
def test_refused_values(line, value):
    with pytest.raises(ParameterError) as caught:
        one(line).coerce(value, "-p")
    message = str(caught.value)
    assert (
        message.startswith("x = ")
        and "(from -p)" in message
        and "\n" not in message
        and ": write " in message
    )


@pytest.mark.parametrize(
    "domain, inside, outside",
    [
        ("in (0, 1]", ["1e-9", "1"], ["0", "1.0001", "-1"]),
        ("in [0, 1)", ["0", "0.999"], ["1", "-1e-9"]),
        ("in (0, inf)", ["1e300"], ["0"]),
        ("in (-inf, 8/255]", ["-5", "8/255"], ["0.04"]),
    ],
)
def test_intervals(domain, inside, outside):
    default = "0.03" if "8/255" in domain else "0.5"
    parameter = one(f"x: float = {default}  # {domain}: help")
    assert parameter.help == "help" and parameter.domain.text == domain
    for value in inside:
        parameter.coerce(value)
    for value in outside:
        with pytest.raises(ParameterError, match=r"x = .*: must be in "):
            parameter.coerce(value)


def test_domain_of_a_list_applies_to_each_element():
    parameter = one("x: list[int] = [1]  # in [0, 5]: seeds")
    assert parameter.coerce("0,5") == [0, 5]
    with pytest.raises(ParameterError, match=r"x = 0,6: 6 must be in \[0, 5\]"):
        parameter.coerce("0,6")


@pytest.mark.parametrize(
    "line, value, said",
    [
        (
            "x: list[int] = [1]  # in [0, 5]: seeds",
            [0, 0],
            "[0, 0]: 0 is given twice; write each value once",
        ),
        ("x: list[float] = [0.5]", "8/255,0.1,8/255", f"{8 / 255} is given twice"),
        ("x: list[float] = [0.5]", "1,1.0", "1.0 is given twice"),
        ('x: list[str] = ["a"]', "a,b,a", "a is given twice"),
    ],
)
def test_a_list_holds_nothing_twice(line, value, said):
    with pytest.raises(ParameterError) as caught:
        one(line).coerce(value)
    assert said in str(caught.value)


def test_repeats_are_allowed_where_the_domain_says_so():
    widths = one("x: list[int] = [8, 8]  # in [1, inf), repeats allowed: filters")
    assert widths.coerce("4,8,8") == [4, 8, 8] and widths.help == "filters"
    names = one('x: list[str] = ["a", "a"]  # one of a, b, repeats allowed: layers')
    assert names.coerce("b,b") == ["b", "b"]
    with pytest.raises(ParameterError, match="repeats allowed must be one of a, b"):
        names.coerce(["repeats allowed"])
    with pytest.raises(ParameterError, match="at least one"):
        widths.coerce([])


def test_choices():
    parameter = one('d: str = "digits"  # one of digits, fashion_mnist, folder:PATH: the images')
    assert parameter.help == "the images"
    for good in ("digits", "fashion_mnist", "folder:/some/where", "folder:a b"):
        assert parameter.coerce(good) == good
    for bad in ("folder:", "folder: ", "folder", "Digits"):
        with pytest.raises(ParameterError):
            parameter.coerce(bad)
    with pytest.raises(ParameterError, match="must be one of digits, .*; did you mean 'fashion_mnist'"):
        parameter.coerce("fashion_mnits")
    assert one("k: int = 1  # one of 1, 3, 5: size").coerce("3") == 3
    with pytest.raises(ParameterError, match="must be one of 1, 3, 5"):
        one("k: int = 1  # one of 1, 3, 5: size").coerce("2")


def test_help_without_domain_and_domain_without_help():
    assert one("x: int = 1  # in pixels: as printed").domain is None
    assert one("x: int = 1  # in pixels: as printed").help == "in pixels: as printed"
    assert one("x: int = 1  # in [0, 2]").help == ""
    assert one("x: int = 1").help == ""
    assert one('x: str = "a # b"  # the text').help == "the text"


@pytest.mark.parametrize(
    "source, said",
    [
        ("x = 3", "write one `name: type = default"),
        ("x: int", "write one"),
        ("x: list[int] = [\n  1,\n]", "write one"),
        ("import os", "write one"),
        ("x: dict = {}", "type dict is none of"),
        ("x: int | None = None", "is none of"),
        ("x: int = max(1, 2)", "must be a literal"),
        ("x: int = 1  # y = 2", "a second '='"),
        ("x: int = 1\nx: int = 2", "declared twice"),
        ("x: int = 9  # in [0, 5]: n", "x = 9 (from the parameters cell): must be in [0, 5]"),
        ("x: float = 1.0  # in (0, far): n", "no interval"),
        ("x: float = 1.0  # in (5, 1): n", "no interval"),
        ('x: str = "a"  # in (0, 1): n', "no interval"),
        ('x: str = "a"  # one of a,,b: n', "no list of words"),
        ("x: int =", "line 1"),
    ],
)
def test_bad_declarations_name_the_line(source, said):
    with pytest.raises(ParameterError) as caught:
        declared(source)
    assert said in str(caught.value) and "parameters cell" in str(caught.value)


def test_order_and_defaults():
    found = declared("# heading\nb: float = 8 / 255  # in (0, 1): b\n\na: list[float] = [1/2, -1]\n")
    assert list(found) == ["b", "a"]
    assert found["b"].default == 8 / 255 and found["a"].default == [0.5, -1.0]


def test_parameters_cells_are_recognised():
    assert is_parameters_cell("x: int = 1  # n\ny: float = 2.0")
    for other in ("# Parameters\nx = 3", "x: int = 1\nprint(x)", "", "x: int =", "def f(): ..."):
        assert not is_parameters_cell(other)


def test_precedence_and_unknown_names():
    known = declared("lambda_d: float = 1.0\nlambda_n: float = 1.0\nsteps: int = 1")
    layers = [
        ("profile", {"lambda_d": "2", "steps": "2"}),
        ("a.yaml", {"steps": "3", "lambda_n": "3"}),
        ("-p", {"lambda_n": "4"}),
    ]
    assert resolve(known, layers, "nb") == {"lambda_d": 2.0, "lambda_n": 4.0, "steps": 3}
    with pytest.raises(ParameterError) as caught:
        resolve(known, [("-p", {"lambda_dd": "3"})], "nb")
    assert str(caught.value) == "nb has no parameter 'lambda_dd' (from -p); did you mean 'lambda_d'?"
    with pytest.raises(ParameterError, match="known: lambda_d, lambda_n, steps"):
        resolve(known, [("-p", {"zzzzzz": "3"})], "nb")
    with pytest.raises(ParameterError, match="from a.yaml"):
        resolve(known, [("a.yaml", {"steps": "x"}), ("-p", {"steps": "1"})], "nb")


def test_yaml_keeps_text(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "lam: 1e-3\neps: 8/255\nseed: 010\ndataset: no\nwhen: 12:30\nseeds: [0, 1e1]\nflag: true\n"
    )
    values = load_yaml(path, "a.yaml")
    assert values == {
        "lam": "1e-3",
        "eps": "8/255",
        "seed": "010",
        "dataset": "no",
        "when": "12:30",
        "seeds": ["0", "1e1"],
        "flag": "true",
    }
    source = (
        "lam: float = 1.0\neps: float = 1.0\nseed: int = 0\nflag: bool = False\nseeds: list[int] = [3]\n"
        'dataset: str = ""\nwhen: str = ""'
    )
    resolved = resolve(declared(source), [("a.yaml", values)], "nb")
    assert resolved == {
        "lam": 1e-3,
        "eps": 8 / 255,
        "seed": 10,
        "flag": True,
        "seeds": [0, 10],
        "dataset": "no",
        "when": "12:30",
    }


@pytest.mark.parametrize(
    "text, said",
    [
        ("- 1\n- 2\n", "write one `name: value`"),
        ("just text", "write one"),
        ("a: [1", "not YAML"),
        ("a: 1\nb: 2\na: 3\n", "'a' is given twice"),
        ("? [a, b]\n: 1\n", "write one|not YAML"),
    ],
)
def test_bad_yaml_is_one_line(tmp_path, text, said):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=said) as caught:
        load_yaml(path, "a.yaml")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("a.yaml: ")


def test_empty_and_missing_yaml(tmp_path):
    (tmp_path / "a.yaml").write_text("# nothing\n")
    assert load_yaml(tmp_path / "a.yaml", "a.yaml") == {}
    with pytest.raises(ParameterError, match="b.yaml: cannot be read"):
        load_yaml(tmp_path / "b.yaml", "b.yaml")


def test_assignment():
    assert assignment("a=b=c") == ("a", "b=c")
    assert assignment(" a = b ") == ("a", " b ")
    for bad in ("a", "=3", ""):
        with pytest.raises(ParameterError, match="NAME=VALUE"):
            assignment(bad)
