"""Find the sentences that services, backups and models say to people, for the catalogue (Babel) and its tests.

They are plain English strings in the code: raised errors, errors of fields, reasons of an import's refusals. Read
from the syntax tree: constants are followed by name, through imports too; text put together from constants is one
sentence. Text with a value in it that is known only at run time becomes a template: ``%(column)s is missing``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import IO, Any

from babel.messages.extract import extract_python

from web.forms.sentences import TEMPLATES

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("services", "backups", "integrations", "web", "config.py")
# Which argument of a call is the sentence. Errors of services that are not named here say it first.
SENTENCE_AT = {
    "FieldError": 1, "at": 1, "BadRequest": 1, "Reject": 3, "reject": 1, "_refusal": 1,
    "EntryRefused": 0, "FileRefused": 0, "JsonRefused": 0, "TimeRefused": 0, "StorageUnavailable": 0, "StoreError": 0,
}  # fmt: skip
ENUMS = {"Verdict"}  # whose values are reasons
ROOT_ERROR = "ServiceError"
MODELS = "web.api"  # where a ValueError is what a model says of a field
HOLE = "%({})s"
TEXTS = (ast.Constant, ast.JoinedStr)


@dataclass
class Module:
    """One file: its tree, its constants' expressions, and what it imports: name → (module, name there)."""

    name: str
    tree: ast.Module
    constants: dict[str, ast.expr] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    variables: dict[str, list[ast.expr]] = field(default_factory=dict)  # of functions: what is assigned to a name
    returned: dict[str, list[ast.expr]] = field(default_factory=dict)  # function → what it gives


@dataclass(frozen=True, slots=True)
class Sentence:
    """``text`` as it is looked up; with holes when ``is_template``. ``line`` in ``module``."""

    text: str
    is_template: bool
    module: str
    line: int


def extract(fileobj: IO[bytes], keywords: Any, comment_tags: Any, options: Any) -> Iterator[Any]:
    """Babel's extraction method for one Python file of ours: what it marks by ``gettext``, and its sentences. Of
    templates only those that pages look for (web/forms/sentences.py)."""
    yield from extract_python(fileobj, keywords, comment_tags, options)
    name = module_name(Path(fileobj.name).resolve().relative_to(ROOT))
    for sentence in sentences():
        if sentence.module == name and (not sentence.is_template or sentence.text in TEMPLATES):
            yield sentence.line, None, sentence.text, []


@lru_cache(maxsize=1)
def sentences() -> tuple[Sentence, ...]:
    """Every sentence and template of the program, each with its place."""
    modules = {module.name: module for module in _modules()}
    errors = _error_classes(modules.values())
    return tuple(sentence for module in modules.values() for sentence in _Reader(modules, module, errors).read())


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _modules() -> Iterator[Module]:
    for package in PACKAGES:
        place = ROOT / package
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            module = Module(module_name(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8")))
            for node in module.tree.body:
                if isinstance(node, ast.Assign):
                    module.constants |= _assigned(node)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    for alias in node.names:
                        module.imports[alias.asname or alias.name] = (node.module, alias.name)
            for inner in ast.walk(module.tree):
                if isinstance(inner, ast.Assign) and inner not in module.tree.body:
                    for name, value in _assigned(inner).items():
                        module.variables.setdefault(name, []).append(value)
                elif isinstance(inner, ast.FunctionDef):
                    returns = (each.value for each in ast.walk(inner) if isinstance(each, ast.Return))
                    module.returned[inner.name] = [each for each in returns if each is not None and _is_text(each)]
            yield module


def _assigned(node: ast.Assign) -> dict[str, ast.expr]:
    """Name → expression, of ``A = …`` and of ``A, B = …, …``."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=False)
        return {each.id: what for each, what in pairs if isinstance(each, ast.Name)}
    return {target.id: value} if isinstance(target, ast.Name) else {}


def _is_text(given: ast.expr) -> bool:
    """Whether what a function gives is a text that can be read: as it stands, by a constant's name, or in a table."""
    match given:
        case ast.Name(id=name):
            return name.isupper()
        case ast.Call(func=ast.Name(id="next") | ast.Attribute(attr="get")):
            return True
    return isinstance(given, TEXTS)


def _error_classes(modules: Iterable[Module]) -> set[str]:
    """Names of ServiceError and of everything that is derived from it."""
    bases = {
        node.name: {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {ROOT_ERROR}
    while more := {name for name, its in bases.items() if its & found} - found:
        found |= more
    return found


class _Reader:
    """Reads one module."""

    def __init__(self, modules: dict[str, Module], module: Module, errors: set[str]) -> None:
        self._modules, self._module, self._errors = modules, module, errors

    def read(self) -> Iterator[Sentence]:
        for node in ast.walk(self._module.tree):
            if isinstance(node, ast.ClassDef) and (node.name in self._errors or node.name in ENUMS):
                for inner in ast.walk(node):
                    yield from self._inside(inner, node.name)
            if isinstance(node, ast.Call):
                argument = self._sentence_of(node)
                for text in self._spoken(argument) if argument is not None else ():
                    yield self._sentence(text, node)

    def _spoken(self, argument: ast.expr) -> Iterator[str]:
        """What ``argument`` may say, and what functions say that are called for a part of it."""
        yield from self._texts(argument, self._module)
        for part in argument.values if isinstance(argument, ast.JoinedStr) else ():
            if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Call):
                yield from (text for text in self._texts(part.value, self._module) if "%(" not in text)

    def _inside(self, node: ast.AST, name: str) -> Iterator[Sentence]:
        """What a class itself says: an error's ``super().__init__("…")`` and ``cls("…")``, an enum's values."""
        value: ast.expr | None = None
        match node:
            case ast.Assign() if name in ENUMS:
                value = node.value
            case ast.Call(func=ast.Attribute(attr="__init__") | ast.Name(id="cls"), args=[first, *_]):
                value = first
        for text in self._texts(value, self._module) if value is not None else ():
            if " " in text:  # an enum's other values are words for the program
                yield self._sentence(text, node)

    def _sentence(self, text: str, node: ast.AST) -> Sentence:
        return Sentence(text, "%(" in text, self._module.name, getattr(node, "lineno", 0))

    def _sentence_of(self, call: ast.Call) -> ast.expr | None:
        owner = getattr(call.func.value, "id", "") if isinstance(call.func, ast.Attribute) else ""
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name == "at" and owner != "Invalid":
            return None
        if name == "ValueError":
            place = 0 if self._module.name.startswith(MODELS) else None
        else:
            place = SENTENCE_AT.get(name, 0 if name in self._errors else None)
        if name == "Finding":
            return next((keyword.value for keyword in call.keywords if keyword.arg == "note"), None)
        return call.args[place] if place is not None and len(call.args) > place else None

    def _texts(self, node: ast.expr, module: Module) -> list[str]:
        """The sentences that ``node`` may be; none when it is no text of ours."""
        match node:
            case ast.Constant(value=str() as text):
                return [text]
            case ast.JoinedStr():
                return ["".join(parts) for parts in product(*self._parts(node, module))]
            case ast.Name(id=name) if (found := self._constant(name, module)) is not None:
                return self._texts(*found)
        others: list[ast.expr] = []
        values: list[str] = []
        match node:
            case ast.Name(id=name):
                others = [each for each in module.variables.get(name, ()) if not isinstance(each, ast.Name)]
            case ast.IfExp():
                others = [node.body, node.orelse]
            case ast.Subscript():
                values = self._values(node.value, module)
            case ast.Call(func=ast.Name(id="next"), args=[ast.GeneratorExp(elt=each), default]):
                others = [each, default]
            case ast.Call(func=ast.Name(id=name)):
                others = module.returned.get(name, [])
            case ast.Call(func=ast.Attribute(attr="get", value=dictionary), args=[_, *others]):
                values = self._values(dictionary, module)
        return values + [text for each in others for text in self._texts(each, module)]

    def _values(self, node: ast.expr, module: Module) -> list[str]:
        """The values of a dictionary that a constant names."""
        found = self._constant(node.id, module) if isinstance(node, ast.Name) else None
        if found is None or not isinstance(found[0], ast.Dict):
            return []
        return [text for value in found[0].values for text in self._texts(value, found[1])]

    def _parts(self, node: ast.JoinedStr, module: Module) -> list[list[str]]:
        """What each part of an f-string may be: its text, a constant's value, or a hole named after its value."""
        parts: list[list[str]] = []
        for part in node.values:
            known = self._known(part, module)
            if known is None:
                names = [each.id.lower() for each in ast.walk(part) if isinstance(each, ast.Name)]
                hole = HOLE.format(names[-1] if names else "value")
                known = [hole if [hole] not in parts else HOLE.format(f"value{len(parts)}")]
            parts.append(known)
        return parts

    def _known(self, part: ast.expr, module: Module) -> list[str] | None:
        if not isinstance(part, ast.FormattedValue):
            return self._texts(part, module)
        found = self._constant(part.value.id, module) if isinstance(part.value, ast.Name) else None
        if found is None:
            return None
        try:
            value = eval_number(found[0])
        except ValueError:
            return self._texts(*found) or None
        spec = part.format_spec.values if isinstance(part.format_spec, ast.JoinedStr) else []
        return [format(value, "".join(str(each.value) for each in spec if isinstance(each, ast.Constant)))]

    def _constant(self, name: str, module: Module) -> tuple[ast.expr, Module] | None:
        """The expression that ``name`` stands for, and the module it stands in."""
        if name in module.constants:
            return module.constants[name], module
        origin, there = module.imports.get(name, ("", ""))
        known = self._modules.get(origin)
        return self._constant(there, known) if known is not None else None


def eval_number(node: ast.expr) -> int:
    """A constant whole number, or a product of some. Raises ValueError for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return eval_number(node.left) * eval_number(node.right)
    raise ValueError("not a constant number")
