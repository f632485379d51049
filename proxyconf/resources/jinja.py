"""Renders one template in Jinja2.

Names are strict: what is not defined is an error. A line of nothing but tags and comments is not in the
output; every other one keeps its white space and its line break, the file's last one, too (see `whitespace`).
A template can change nothing, and reads no other templates than those of its folder, by their names below it:
``{% include "parts/tls.tmpl" %}``. ``true`` and ``false`` print as in JSON; to print null, a function, or a
sequence that was not gone through is an error.

Beside `functions` and `filters` there are ``services``: a dictionary of names to lists of endpoints (address,
host, port, weight, backup); ``routes``: a list (host, path, service); ``containers``: a list (id, name,
labels, state, health, networks, ports).
"""

from __future__ import annotations

from dataclasses import dataclass
from posixpath import normpath
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import BaseLoader, TemplateNotFound, TemplateSyntaxError, UndefinedError

from proxyconf.errors import ProxyconfError
from proxyconf.model import Snapshot
from proxyconf.resources import gosyntax, mistakes
from proxyconf.resources.arguments import FunctionError
from proxyconf.resources.environment import Environment
from proxyconf.resources.filters import FILTERS
from proxyconf.resources.functions import functions
from proxyconf.resources.store import Store
from proxyconf.resources.views import PARTS, Views
from proxyconf.resources.world import Used, World, stamp

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path
    from types import CodeType

    import jinja2

    from proxyconf.resources.views import Part
    from proxyconf.resources.world import Stamp


class TemplateError(ProxyconfError):
    """A template can't be rendered. Message: ``render file:line: reason (hint)``.

    Attributes:
        used: What it had looked at until then. If look-ups in it have no answer yet, resolve them and render
            again; else wait until its input, or one of these, is another one.
    """

    def __init__(self, message: str, used: Used) -> None:
        super().__init__(message)
        self.used = used


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template came to.

    Attributes:
        text: Encode it as UTF-8 with ``surrogateescape``, which does not fail: values come out byte for byte.
        used: What the template looked at beside its keys.
    """

    text: str
    used: Used


class Templates:
    """The templates of one folder, each compiled once until its file changes. Several threads may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._compiled: dict[Path, _Compiled] = {}
        self._views = Views()

    def render(self, src: str, store: Store, world: World, snapshot: Snapshot) -> Rendered:
        """Render the template *src*, a path below the folder; blocks.

        Raises:
            TemplateError: It is not there, not in Jinja2, or fails.
        """
        used = Used()
        environment = self._environment(store, world, snapshot, used)
        try:
            text = environment.get_template(src).render()
            text.encode(errors="surrogateescape")
        except Exception as exc:
            message = self._message(src, exc, environment)
            unanswered = [lookup for lookup in sorted(used.lookups) if not world.answers.get(lookup)]
            if unanswered:
                message += f"; without an answer: {', '.join(map(str, unanswered))}"
            raise TemplateError(message, used) from exc
        return Rendered(text, used)

    def compile(self, src: str) -> None:
        """Read the template *src* without rendering it; blocks.

        Raises:
            TemplateError: It is not there, or not in Jinja2.
        """
        used = Used()
        environment = self._environment(Store(()), World(time=0.0), Snapshot(), used)
        try:
            environment.get_template(src)
        except Exception as exc:
            raise TemplateError(self._message(src, exc, environment), used) from exc

    def _environment(self, store: Store, world: World, snapshot: Snapshot, used: Used) -> Environment:
        def part(name: Part) -> Any:  # noqa: ANN401 - see `views`
            used.parts.add(name)
            return self._views.of(name, snapshot)

        return Environment(_Loader(self, used), functions(store, world, used), part)

    def code(self, name: str, environment: jinja2.Environment, used: Used) -> CodeType:
        """Return a template's code, compiled anew if its file is another one now.

        Raises:
            TemplateNotFound: There is none.
            TemplateSyntaxError: It is not in Jinja2.
            FunctionError: It can't be read, or is outside of the folder.
        """
        file = self._file(name)
        now = used.templates[file] = stamp(file)  # before it is read: a change meanwhile is seen next time
        known = self._compiled.get(file)
        if known is None or known.stamp != now:
            source = _read(name, file)
            known = _Compiled(now, source, environment.compile(source, name, str(file)))
            self._compiled[file] = known
        return known.code

    def _file(self, name: str) -> Path:
        path = normpath(name.lstrip("/"))  # as confd, which puts its folder before any name
        if path == ".." or path.startswith("../"):
            raise FunctionError(f"template {name!r} is outside of {self.folder} (move it there)")
        return self.folder / path

    def _message(self, src: str, exc: Exception, environment: Environment) -> str:
        files = {str(file): known.source for file, known in self._compiled.copy().items()}
        place = mistakes.place_of(exc, files, str(self.folder / src.lstrip("/")))
        source = (isinstance(exc, TemplateSyntaxError) and exc.source) or files.get(place.file, "")
        go = None
        if isinstance(exc, TemplateSyntaxError | UndefinedError):
            go = gosyntax.find(source, place.line)
        if go:
            return f"render {place.file}:{go.line}: {go.message}"
        names = {*environment.globals, *PARTS, *mistakes.names_set_in(source)}
        reason = mistakes.reason(exc, names, FILTERS, self.folder)
        return f"render {place.file}{f':{place.line}' if place.line else ''}: {reason}"


class _Compiled(NamedTuple):
    stamp: Stamp | None
    source: str
    code: CodeType


class _Loader(BaseLoader):
    """Loads the templates of one render, and notes them."""

    def __init__(self, templates: Templates, used: Used) -> None:
        self._templates = templates
        self._used = used

    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - Jinja's name
    ) -> jinja2.Template:
        code = self._templates.code(name, environment, self._used)
        return environment.template_class.from_code(environment, code, globals or {})


def _read(name: str, file: Path) -> str:
    try:
        if file.exists() and not file.is_file():  # to open a pipe would block
            raise FunctionError(f"template {name!r} is no file")
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TemplateNotFound(name) from None
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise FunctionError(f"template {name!r} is not UTF-8 in line {line} (save it as UTF-8)") from exc
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise FunctionError(f"template {name!r} can't be read: {reason}") from exc
