"""HTML that a notebook shows as the output of a cell."""


class Shown:
    """A figure, a table or a line, styled by the book's style sheet and readable without it."""

    def __init__(self, html: str):
        self.html = html

    def _repr_html_(self) -> str:
        return self.html
