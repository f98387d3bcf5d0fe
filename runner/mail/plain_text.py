"""The text part of a mail that is written in HTML only: derived by `inscriptis`, its links in sight.

It is derived from the rendered HTML in which marks stand for the merge fields (`runner.mail.templates`), not for each
mail: for 8 KB that takes 2.7 ms, ten times what building a mail and reading it back cost, and all leads for whom the
template's conditions turn out alike get the same. And not from the template: its conditions and fields are no HTML,
and would be wrapped, escaped or moved. The values come in afterwards: no parser sees them, so no markup in them acts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from inscriptis import get_text
from inscriptis.css_profiles import STRICT_CSS_PROFILE
from inscriptis.html_properties import Display
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_element import HtmlElement
from inscriptis.model.tag import CustomHtmlTagHandlerMapping

MARK_OPENS, MARK_ENDS = "\ufdd0", "\ufdd1"
"""Around the number of a value. Unicode keeps these two for a program's own use: no text holds them."""
TEXTS_KEPT = 32
"""Most templates have fewer ways for their conditions to turn out."""

_SHOWN_LINK = re.compile(f"https?:|mailto:|tel:|{MARK_OPENS}", re.IGNORECASE)
_LINK_TWICE = re.compile(r"(?<!\S)(\S+) <\1>")  # from the beginning of a word only: else quadratic in long ones
_BLANK_LINES = re.compile(r"\n{3,}")
_CELLS = ("table", "tr", "td", "th")


@lru_cache(maxsize=TEXTS_KEPT)
def plain_text(html: str) -> str:
    """What the HTML says, its lines ended by line feeds; empty when it says nothing."""
    lines = (line.rstrip() for line in get_text(html, _CONFIG).splitlines())
    text = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
    return _LINK_TWICE.sub(r"\1", text)


def _link_opens(state: Any, attributes: Any) -> None:
    target = "".join(attributes.get("href", "").split())
    state.link_target = target if _SHOWN_LINK.match(target) else ""


def _link_ends(state: Any) -> None:
    if state.link_target:
        state.tags[-1].write(f" <{state.link_target}>")


# Mails use tables for their layout: side by side, as `inscriptis` shows them, their cells would make endless lines.
_CONFIG = ParserConfig(
    css={**STRICT_CSS_PROFILE, **{tag: HtmlElement(display=Display.block) for tag in _CELLS}},
    display_links=True,
    display_images=True,
    custom_html_tag_handler_mapping=CustomHtmlTagHandlerMapping(
        start_tag_mapping={"a": _link_opens, **dict.fromkeys(_CELLS)},
        end_tag_mapping={"a": _link_ends, **dict.fromkeys(_CELLS)},
    ),
)
