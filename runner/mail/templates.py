"""Templates of a mail: compiled once per content version, rendered once per lead, and bounded in work.

The language is Jinja2 without loops, assignments, macros, calls, attributes and arithmetic: text, merge
fields, conditions, and a short list of filters that make nothing long. That is what bounds a rendering: every
node runs at most once, there are at most `MAX_FILTERS` filters, each linear in its one field of at most
`MAX_VALUE_CHARACTERS`, and output is counted while it streams. The worst that fits takes about a second.
A time limit would need a second process and depend on the machine. Jinja's sandbox stands behind all this.

Two filters differ from Jinja's: `default` also replaces a blank value, for an empty cell is how a lead file says that
there is none; and what `truncate(20)` returns is never longer than 20.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.filters import FILTERS, do_default, do_replace
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import missing, pass_context, pass_eval_context
from markupsafe import Markup

from domain.errors import InvalidInput
from runner.mail.errors import RenderFailed
from runner.mail.plain_text import MARK_ENDS, MARK_OPENS, plain_text
from runner.mail.sanitise import body_problem, check_field_name, line_problem
from runner.mail.unsubscribe import MERGE_FIELD, NO_UNSUBSCRIBE, Unsubscribe

MAX_TEMPLATE_CHARACTERS = 256 * 1024
MAX_RENDERED_CHARACTERS = 1024 * 1024
MAX_SUBJECT_CHARACTERS = 1_000
MAX_DEPTH = 30
MAX_FILTERS = 100
MAX_NUMBER = 1_000_000

FILTER_NAMES = (
    "capitalize", "count", "d", "default", "e", "escape", "first", "float", "int", "last", "length", "lower",
    "title", "trim", "truncate", "upper", "urlencode",
)  # fmt: skip
TEST_NAMES = ("defined", "undefined", "none", "eq", "equalto", "ne", "in", "lower", "upper")


@dataclass(frozen=True, slots=True)
class Content:
    """The templates of a campaign's mail, as they were written, and how to unsubscribe from it.

    Without `text` the text part is derived from the HTML.
    """

    subject: str
    text: str | None
    html: str | None = None
    unsubscribe: Unsubscribe = NO_UNSUBSCRIBE

    @classmethod
    def of(cls, row: Any) -> Self:
        """The content in a row of the kept table."""
        unsubscribe = Unsubscribe(row["unsubscribe_mailto"], row["unsubscribe_url"])
        return cls(row["subject"], row["text"], row["html"], unsubscribe)

    @property
    def row(self) -> dict[str, str | None]:
        """As a row of the kept table holds it."""
        return {
            "subject": self.subject,
            "text": self.text,
            "html": self.html,
            "unsubscribe_mailto": self.unsubscribe.mailto,
            "unsubscribe_url": self.unsubscribe.url,
        }


@dataclass(frozen=True, slots=True)
class Rendered:
    """One lead's subject and bodies. The subject is one clean line; bodies end with a line feed."""

    subject: str
    text: str
    html: str | None = None


class CompiledContent:
    """Content ready to be filled. `fields` names every merge field that a template mentions."""

    __slots__ = ("_html", "_subject", "_text", "fields", "unsubscribe")

    def __init__(
        self, subject: _Part, text: _Part | _DerivedText, html: _Part | None, unsubscribe: Unsubscribe
    ) -> None:
        self._subject = subject
        self._text = text
        self._html = html
        self.unsubscribe = unsubscribe
        self.fields: frozenset[str] = subject.fields | text.fields | (html.fields if html else frozenset())

    @property
    def has_html(self) -> bool:
        """Has a mail an HTML part beside its text?"""
        return self._html is not None

    def render(self, fields: Mapping[str, str]) -> Rendered:
        """Fill the templates with one lead's fields, or raise `RenderFailed`. Unused fields do not matter."""
        return Rendered(
            subject=_clean_subject(self._subject.fill(fields)),
            text=_clean_body("text", self._text.fill(fields)),
            html=_clean_body("html", self._html.fill(fields)) if self._html else None,
        )


def compile_content(content: Content) -> CompiledContent:
    """Compile all parts, or raise `InvalidInput` with the part, the line and how to mend it."""
    if content.text is None and content.html is None:
        raise InvalidInput("is missing.", mend="Write text or html, or both.", field="text")
    html = None if content.html is None else _Part("html", content.html)
    text = _DerivedText(content.html or "") if content.text is None else _Part("text", content.text)
    subject = _Part("subject", _checked_subject_source(content.subject))
    for name, part in (("subject", subject), ("text", text), ("html", html)):
        if part is not None and MERGE_FIELD in part.fields and content.unsubscribe.url is None:
            mend = 'Add url = "https://…/{token}" to the table [unsubscribe] of the campaign file.'
            field = "html" if part is text and content.text is None else name
            problem = f"{{{{ {MERGE_FIELD} }}}} is used, but the campaign has no page to unsubscribe."
            raise InvalidInput(problem, mend=mend, field=field)
    return CompiledContent(subject, text, html, content.unsubscribe)


class _Part:
    """One compiled template: the subject, the text or the HTML."""

    __slots__ = ("_name", "_template", "fields")

    def __init__(self, name: str, source: str, environment: ImmutableSandboxedEnvironment | None = None) -> None:
        self._name = name
        environment = environment or (_HTML if name == "html" else _PLAIN)
        tree = _parse(environment, name, source)
        self.fields = frozenset(meta.find_undeclared_variables(tree))
        self._template: Template = environment.from_string(tree)

    def fill(self, fields: Mapping[str, str], marks: dict[str, str] | None = None) -> str:
        """The template with these fields; or with marks in their place, noted in `marks` by value."""
        given = {name: value for name, value in fields.items() if name in self.fields}
        self._check_values(given)
        try:
            return "".join(self._stream(given if marks is None else {**given, _MARKS: marks}))
        except UndefinedError as error:
            raise self._missing(error.message or None) from None
        except _GrowingReplacement:
            raise RenderFailed(self._name, "the filter replace cannot put in more than it takes out.") from None
        except _EXPRESSION_ERRORS as error:
            # `from None`, and the kind only: the message of such an error may quote a value.
            raise RenderFailed(self._name, f"an expression does not fit its value ({type(error).__name__}).") from None

    def _check_values(self, given: Mapping[str, str]) -> None:
        for name, value in given.items():
            # A subclass of str, such as Markup, could switch the escaping off.
            problem = line_problem(value) if type(value) is str else "the value is not plain text."
            if problem:
                raise RenderFailed(self._name, f"{problem} Mend this lead's data.", field=name)

    def _stream(self, given: Mapping[str, Any]) -> Iterator[str]:
        size = 0
        for piece in self._template.generate(given):
            size += len(piece)
            if size > MAX_RENDERED_CHARACTERS:
                raise RenderFailed(self._name, f"it is longer than {MAX_RENDERED_CHARACTERS:,} characters. Shorten it.")
            yield piece

    def _missing(self, field: str | None) -> RenderFailed:
        if field is None:
            return RenderFailed(self._name, "an expression asks for a piece that the value does not have.")
        mend = f"Add the column, or write {{{{ {field} | default('…') }}}}."
        return RenderFailed(self._name, f"this lead has no such field. {mend}", field=field)


class _DerivedText:
    """The text part of content without a text of its own (see `runner.mail.plain_text`)."""

    __slots__ = ("_html", "fields")

    def __init__(self, html: str) -> None:
        if MARK_OPENS in html:
            problem = f"it holds U+{ord(MARK_OPENS):04X}, which is no character."
            raise InvalidInput(problem, mend="Remove it.", field="html")
        self._html = _Part("html", html, _MARKED)
        self.fields = self._html.fields

    def fill(self, fields: Mapping[str, str]) -> str:
        marks: dict[str, str] = {}
        text = plain_text(self._html.fill(fields, marks))
        if not text.strip():
            raise RenderFailed("text", "the HTML says nothing that a text could hold. Write text or text_file.")
        values = {mark: value for value, mark in marks.items()}
        text = _MARK.sub(lambda found: values.get(found[0], ""), text)
        if len(text) > MAX_RENDERED_CHARACTERS:
            raise RenderFailed("text", f"it is longer than {MAX_RENDERED_CHARACTERS:,} characters. Shorten the HTML.")
        return text


class _MissingField(StrictUndefined):
    """An undefined value whose error message is the bare name of the field, or empty for anything else."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        is_field = self._undefined_obj is missing and self._undefined_hint is None
        return str(self._undefined_name) if is_field else ""


class _GrowingReplacement(TemplateError):
    """`replace` was asked to make a text longer."""


@pass_eval_context
def _replace(context: EvalContext, text: str, old: str, new: str) -> str:
    """Jinja's `replace`, unless the result could be longer: a chain of those could grow without end."""
    if not old or len(new) > len(old):
        raise _GrowingReplacement
    return do_replace(context, text, old, new)


def _default(value: Any, fallback: Any = "", blank: bool = True) -> Any:
    """Jinja's `default`, which replaces a blank text too unless told otherwise."""
    return fallback if blank and isinstance(value, str) and not value.strip() else do_default(value, fallback)


@pass_context
def _marked(context: Context, value: Any) -> Markup:
    """A mark in place of a value that is written out; one value has one mark."""
    marks: dict[str, str] = context.resolve_or_missing(_MARKS)
    text = value.unescape() if isinstance(value, Markup) else str(value)
    return Markup(marks.setdefault(text, f"{MARK_OPENS}{len(marks)}{MARK_ENDS}"))  # noqa: S704 - made here


def _environment(*, escape: bool, finalize: Any = None) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=_MissingField,
        autoescape=escape,
        finalize=finalize,
        loader=None,
        keep_trailing_newline=True,
        cache_size=0,
    )
    environment.globals.clear()
    environment.policies["truncate.leeway"] = 0
    ours = {"replace": _replace, "default": _default, "d": _default}
    environment.filters = {name: FILTERS[name] for name in FILTER_NAMES} | ours
    environment.tests = {name: TESTS[name] for name in TEST_NAMES}
    return environment


_PLAIN = _environment(escape=False)
_HTML = _environment(escape=True)
_MARKED = _environment(escape=True, finalize=_marked)
_MARKS = "marks by value"  # no name of a field: it is not one word
_MARK = re.compile(f"{MARK_OPENS}[0-9]+{MARK_ENDS}")

_REFUSED = MappingProxyType(
    {
        nodes.For: ("loops", "Write the lines out; an import can prepare a merge field."),
        nodes.Call: ("calls", "Use a filter, such as {{ name | upper }}."),
        nodes.Getattr: ("attributes", "Merge fields are plain text: write {{ name }} or {{ name | upper }}."),
        nodes.Concat: ("joining with ~", "Write the fields side by side: {{ first }} {{ last }}."),
        nodes.BinExpr: ("arithmetic", "Let a merge field hold the result."),
        nodes.Assign: ("set", "Write the value where it is used."),
        nodes.Include: ("include", "Put the text into this template."),
        nodes.Import: ("import", "Put the text into this template."),
        nodes.FromImport: ("import", "Put the text into this template."),
        nodes.Extends: ("extends", "Put the text into this template."),
        nodes.Block: ("blocks", "Put the text into this template."),
        nodes.List: ("lists", "Use them in a comparison only: {% if city in ['Gdynia', 'Sopot'] %}."),
        nodes.Tuple: ("lists", "Use them in a comparison only: {% if city in ['Gdynia', 'Sopot'] %}."),
        nodes.Macro: ("macros", "Put the text where it is used."),
    }
)
# What an allowed expression can raise (`truncate` asserts its arguments).
_EXPRESSION_ERRORS = (
    TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError
)  # fmt: skip
_MEND_SYNTAX = "Write merge fields as {{ name }} and conditions as {% if name %} … {% endif %}."
_REFUSED_OTHERWISE = ("this construct", "Use merge fields, filters, and {% if %} … {% endif %}.")

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Output, nodes.TemplateData, nodes.If, nodes.CondExpr, nodes.Name, nodes.Filter, nodes.Test,
    nodes.Keyword, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg,
)  # fmt: skip


def _parse(environment: ImmutableSandboxedEnvironment, part: str, source: str) -> nodes.Template:
    _check_source(part, source)
    try:
        tree = environment.parse(source)
        for node in tree.body:
            _check_node(part, node, depth=1, line=1)
        _check_filters(part, tree)
    except TemplateSyntaxError as error:
        raise _invalid(part, error.lineno, _sentence(error.message), _MEND_SYNTAX) from None
    except RecursionError:
        raise _too_deep(part, 1) from None
    except ValueError:
        # Python refuses to read numbers of thousands of digits.
        raise _invalid(part, 1, "a number is too long.", "Shorten it.") from None
    return tree


def _check_source(part: str, source: str) -> None:
    if not source.strip():
        raise InvalidInput(f"the {part} is empty.", mend="Write at least one word.", field=part)
    if len(source) > MAX_TEMPLATE_CHARACTERS:
        problem = f"the {part} has {len(source):,} characters, {MAX_TEMPLATE_CHARACTERS:,} are the most."
        raise InvalidInput(problem, mend="Shorten it.", field=part)
    unclean = body_problem(source.replace("\r\n", "\n"))
    if unclean:
        raise InvalidInput(unclean, mend="Remove it.", field=part)


def _checked_subject_source(source: str) -> str:
    source = source.strip()
    problem = line_problem(source)
    if problem:
        raise InvalidInput(problem, mend="A subject is one line of plain text.", field="subject")
    return source


def _check_node(part: str, node: nodes.Node, depth: int, line: int) -> None:
    line = node.lineno or line
    if depth > MAX_DEPTH:
        raise _too_deep(part, line)
    if not _is_allowed(node):
        what, mend = _why_refused(node)
        raise _invalid(part, line, f"{what} cannot be used in a mail.", mend)
    _check_known(part, node, line)
    for child in _children(node):
        _check_node(part, child, depth + 1, line)


def _check_known(part: str, node: nodes.Node, line: int) -> None:
    """Refuse unknown filters and tests here: Jinja finds those inside a condition only when they run."""
    if isinstance(node, nodes.Name):
        _check_field(part, node, line)
    if isinstance(node, nodes.Filter) and node.name not in _PLAIN.filters:
        mend = f"Known filters: {', '.join(sorted(_PLAIN.filters))}."
        raise _invalid(part, line, f"there is no filter {node.name}.", mend)
    if isinstance(node, nodes.Test) and node.name not in _PLAIN.tests:
        raise _invalid(part, line, f"there is no test {node.name}.", f"Known tests: {', '.join(TEST_NAMES)}.")


def _check_filters(part: str, tree: nodes.Template) -> None:
    for count, node in enumerate(tree.find_all(nodes.Filter), start=1):
        if count > MAX_FILTERS:
            raise _invalid(part, node.lineno, f"there are more than {MAX_FILTERS} filters.", "Use fewer.")


def _is_allowed(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Const):
        return _is_small(node.value)
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Slice) or _is_whole_number(node.arg)
    if isinstance(node, nodes.Slice):
        return all(_is_whole_number(bound) for bound in node.iter_child_nodes())
    return isinstance(node, _ALLOWED)


def _children(node: nodes.Node) -> Iterator[nodes.Node]:
    """A list may stand only behind a comparison (`in [...]`), where it is never written out."""
    for child in node.iter_child_nodes():
        if isinstance(node, nodes.Operand) and isinstance(child, nodes.List | nodes.Tuple):
            yield from child.items
        else:
            yield child


def _is_small(value: Any) -> bool:
    if isinstance(value, int | float):
        return math.isfinite(value) and abs(value) <= MAX_NUMBER
    return value is None or isinstance(value, str)


def _is_whole_number(node: nodes.Node) -> bool:
    inner = node.node if isinstance(node, nodes.Neg) else node
    return isinstance(inner, nodes.Const) and type(inner.value) is int


def _why_refused(node: nodes.Node) -> tuple[str, str]:
    if isinstance(node, nodes.Const):
        return f"numbers beyond {MAX_NUMBER:,}", "Write it as text, in quotes."
    for kind, reason in _REFUSED.items():
        if isinstance(node, kind):
            return reason
    return _REFUSED_OTHERWISE


def _check_field(part: str, node: nodes.Name, line: int) -> None:
    try:
        check_field_name(node.name)
    except InvalidInput as error:
        raise _invalid(part, line, f"merge field {error.field}: {error.problem}", error.mend) from None


def _too_deep(part: str, line: int) -> InvalidInput:
    return _invalid(part, line, f"expressions or conditions are nested over {MAX_DEPTH} deep.", "Make it simpler.")


def _invalid(part: str, line: int, problem: str, mend: str) -> InvalidInput:
    return InvalidInput(f"line {line}: {problem}", mend=mend, field=part)


def _sentence(message: str | None) -> str:
    text = " ".join((message or "this cannot be read").split())
    return text if text.endswith(".") else f"{text}."


def _clean_subject(raw: str) -> str:
    subject = raw.strip()
    problem = line_problem(subject)
    if problem:
        raise RenderFailed("subject", f"{problem} A subject is one line of plain text.")
    if not subject:
        raise RenderFailed("subject", "it is empty. Give the template a word that does not depend on a field.")
    if len(subject) > MAX_SUBJECT_CHARACTERS:
        raise RenderFailed("subject", f"it is longer than {MAX_SUBJECT_CHARACTERS:,} characters. Shorten it.")
    return subject


def _clean_body(part: str, raw: str) -> str:
    problem = body_problem(raw)
    if problem:
        raise RenderFailed(part, f"{problem} Remove it.")
    if not raw.strip():
        raise RenderFailed(part, "it is empty. Give the template a word that does not depend on a field.")
    return raw if raw.endswith("\n") else f"{raw}\n"
