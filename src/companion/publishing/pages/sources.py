"""The code behind an equation, shown beside it."""

import inspect
from collections.abc import Callable
from html import escape

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from companion.shown import Shown


def of(*functions: Callable) -> Shown:
    """The source of these functions, folded, each under its full name."""
    return Shown("".join(_listing(function) for function in functions))


def _listing(function: Callable) -> str:
    name = f"{function.__module__.rsplit('.', 1)[0]}.{function.__name__}"
    code = highlight(inspect.getsource(function), PythonLexer(), HtmlFormatter(nowrap=True))
    return (
        f'<details class="cmp-source"><summary>the function: <code>{escape(name)}</code></summary>'
        '<div class="highlight-python notranslate"><div class="highlight">'
        f"<pre>{code}</pre></div></div></details>"
    )
