"""From a template to the text of a page."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from typing import Any

import jinja2
from markupsafe import Markup, escape


def render(template: str, **content: Any) -> str:
    """Fill a template of this package.

    Every text is escaped, so that none of it becomes markup; ``markupsafe.Markup``, as the charts
    are, is not. A page runs no script but that of its template's block ``script``.

    Parameters
    ----------
    template : str
        Its path in the package, for example ``"evaluation/page.html.j2"``.
    **content : Any
        What the template names. For the base template: ``title``, and if wanted ``lang`` (``"en"``)
        and ``script_data``, which a script reads as JSON from the element ``#data``.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    jinja2.UndefinedError
        If the template names something that is not given.
    """
    return environment().get_template(template).render(content)


@functools.cache
def environment() -> jinja2.Environment:
    """Give what templates are loaded with: from this package, all texts escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("recbole_mmdistill", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["script_source"] = _script_source
    made.filters["whole_options"] = whole_options
    return made


def whole_options(text: str) -> Markup:
    """Escape a text, and let no line end within an option such as ``--budget``."""
    option = r'<span class="whole">\g<0></span>'
    return Markup(re.sub(r"(?<![\w-])--\w+", option, str(escape(text))))


def _script_source(code: str) -> str:
    """Name a script in a content security policy by its digest: no other one then runs."""
    digest = hashlib.sha256(code.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
