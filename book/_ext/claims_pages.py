"""Directives `answers`, `scorecard`, `calibration`, `errata`, `fidelity`: claims, error rates, deviations."""

from __future__ import annotations

from docutils import nodes
from docutils.parsers.rst import Directive

from companion.publishing.pages import answers, calibrated, errata, fidelity, scorecard


class Scorecard(Directive):
    """Insert the scorecard."""

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        env.note_reread()  # it depends on runs, which Sphinx does not watch
        return [nodes.raw("", scorecard.page(env.config.companion_profile), format="html")]


class Answers(Directive):
    """Insert the front page's answers."""

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        env.note_reread()
        link = "../{notebook}.html#{anchor}"
        return [nodes.raw("", answers.page(env.config.companion_profile, link), format="html")]


class Calibration(Directive):
    """Insert the error rates of the rules that decide claims."""

    def run(self) -> list[nodes.Node]:
        self.state.document.settings.env.note_reread()
        return [nodes.raw("", calibrated.page(), format="html")]


class Errata(Directive):
    """Insert the errata of all papers."""

    def run(self) -> list[nodes.Node]:
        self.state.document.settings.env.note_reread()
        return [nodes.raw("", errata.page(), format="html")]


class Fidelity(Directive):
    """Insert the deviations of all chapters."""

    def run(self) -> list[nodes.Node]:
        self.state.document.settings.env.note_reread()  # it depends on profiles and registers
        return [nodes.raw("", fidelity.page(), format="html")]


def setup(app) -> dict:
    app.add_directive("scorecard", Scorecard)
    app.add_directive("answers", Answers)
    app.add_directive("calibration", Calibration)
    app.add_directive("errata", Errata)
    app.add_directive("fidelity", Fidelity)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
