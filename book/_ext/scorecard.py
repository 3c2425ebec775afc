"""The directive `scorecard`: all claims, decided on the runs of the profile that is being built."""

from __future__ import annotations

from docutils import nodes
from docutils.parsers.rst import Directive

from companion.press import scorecard


class Scorecard(Directive):
    """Insert the scorecard."""

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        env.note_reread()  # it depends on runs, which Sphinx does not watch
        return [nodes.raw("", scorecard.page(env.config.companion_profile), format="html")]


def setup(app) -> dict:
    app.add_directive("scorecard", Scorecard)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
