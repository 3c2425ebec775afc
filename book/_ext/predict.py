"""Directive `predict`: a question that a reader answers before the figure; the run's rows give the answer.

Its body is a paragraph, the question, and a list, the choices; for a slider the question alone. Its options
say how the answer follows from the rows: companion.publishing.pages.predict.Question.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from executed_copies import executed_path

from companion.publishing.claims import ledger
from companion.publishing.pages import predict


class Predict(Directive):
    """Insert a question, its choices or slider, and the answer of the run that the page shows."""

    required_arguments = 1
    has_content = True
    option_spec = dict.fromkeys(predict.Question.model_fields, yaml.safe_load) | {"unit": str}

    def run(self) -> list[nodes.Node]:
        name, env = self.arguments[0], self.state.document.settings.env
        body = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, body)
        asked = [node for node in body if isinstance(node, nodes.paragraph)]
        choices = [item[0] for of in body if isinstance(of, nodes.bullet_list) for item in of]
        words = [choice.astext() for choice in choices]
        try:
            question = predict.read(self.options, words)
        except ValueError as error:
            raise self.error(f"predict {name}: {error}") from None
        if len(asked) != 1:
            raise self.error(f"predict {name}: {len(asked)} paragraphs, a question is one")
        results = executed_path(Path(env.srcdir), env.config.companion_profile, env.docname)
        results = results.with_name("results.json")
        env.note_dependency(str(results))
        env.metadata[env.docname]["predict"] = True
        notebook, profile = Path(env.docname).name, env.config.companion_profile
        found = predict.answer(question, words, predict.rows_of(results), ledger.of_notebook(notebook))
        start = f'<section class="cmp-predict" id="{escape(name)}" aria-label="Predict, then look"'
        if found is None:
            wait = predict.waiting(notebook, profile)
            return [_raw(f"{start}>"), _inline("question", asked[0]), _raw(f"{wait}</section>")]
        told = escape(json.dumps(predict.told(question, found), ensure_ascii=False))
        shown = [_raw(f'{start} data-told="{told}"><fieldset><legend>'), _inline("question", asked[0])]
        shown.append(_raw("</legend>"))
        for place, choice in enumerate(choices):
            button = f'<label class="choice"><input type="radio" name="{escape(name)}" value="{place}">'
            shown += [_raw(button), _inline("words", choice), _raw("</label>")]
        if question.step:
            shown.append(_raw(predict.slider(name, question)))
        return [*shown, _raw(f"</fieldset>{predict.revealed(question, found, profile)}</section>")]


def _raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


def _inline(kind: str, paragraph: nodes.Element) -> nodes.inline:
    """The words of a paragraph, which may stand in a legend or a label."""
    return nodes.inline("", "", *paragraph.children, classes=[kind])


def load_script(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Load script and style on pages that ask something."""
    if "predict" in app.env.metadata.get(pagename, {}):
        app.add_js_file("predict.js", loading_method="defer")
        app.add_css_file("predict.css")


def setup(app) -> dict:
    app.add_directive("predict", Predict)
    app.connect("html-page-context", load_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
