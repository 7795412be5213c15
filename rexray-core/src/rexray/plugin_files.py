"""``REXRAY_PLUGINS_DIR``: a folder in which every ``*.py`` is a plug-in, for the first day of a driver.

The file's stem is the word that users type. What kinds of plug-in it is, the names of its hook functions tell, which
are read without running it; a comment block after PEP 723 states in its ``dependencies`` which versions of
rexray-core it supports. What somebody else could write is listed as refused and never run, nor is its bytecode.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from rexray import hookspecs, plugin_trust, tracing
from rexray.errors import BrokenPlugin, SettingsError
from rexray.hints import nearest

VARIABLE = "REXRAY_PLUGINS_DIR"

KIND = "file"
"""The kind of a file whose hooks could not be read."""

HOOKS = frozenset(name for name in vars(hookspecs) if name.startswith("rexray_"))
"""The names of all hooks."""

_KINDS = {
    "rexray_storage_drivers": "storage",
    "rexray_node_drivers": "storage",
    "rexray_os_drivers": "os",
    "rexray_volume_drivers": "volume",
    "rexray_csi_plugins": "csi",
    "rexray_commands": "commands",
}
_BLOCK = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
"""An inline block of metadata, by the regular expression that PEP 723 gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFile:
    """A file of the folder; ``error`` is why it is refused or broken, before anything of it was run."""

    path: Path
    hooks: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    error: str = ""

    @property
    def name(self) -> str:
        """The word that users type."""
        return self.path.stem

    @property
    def module(self) -> str:
        """What its module is called in this process."""
        return f"rexray_plugin_file_{self.name}"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of plug-in that it is; one that only observes is one of ``commands``."""
        if self.error:
            return (KIND,)
        return tuple(dict.fromkeys(_KINDS[hook] for hook in self.hooks if hook in _KINDS)) or ("commands",)

    def load(self) -> ModuleType:
        """Run it; whatever it raises goes on. What is run is what was found to be nobody else's."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            reason = plugin_trust.wrong(self.path, os.fstat(descriptor), strict=True)
            source = file.read()
        if reason := self.error or plugin_trust.refusal(self.path) or reason:
            raise BrokenPlugin(reason)
        module = ModuleType(self.module)
        module.__file__ = str(self.path)
        sys.modules[self.module] = module  # dataclasses look themselves up there
        try:
            exec(compile(source, str(self.path), "exec", dont_inherit=True), module.__dict__)
        except BaseException:
            del sys.modules[self.module]
            raise
        return module


def plugin_files() -> tuple[PluginFile, ...]:
    """The files of the folder, sorted, none where the variable is not set; ``SettingsError`` without a folder."""
    folder = os.environ.get(VARIABLE, "")
    return _files(os.path.abspath(os.path.expanduser(folder))) if folder else ()


@functools.lru_cache(maxsize=8)
def _files(folder: str) -> tuple[PluginFile, ...]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        remedy = f"mkdir -p -m 700 {folder}, or unset the variable"
        raise SettingsError(f"${VARIABLE}: {folder}: {error.strerror}: {remedy}") from None
    wanted = [name for name in names if name.endswith(".py") and not name.startswith(("_", "."))]
    found = tuple(_examined(Path(folder, name)) for name in wanted)
    if tracing.ON:
        for file in found:
            tracing.trace(f"found {', '.join(file.kinds)} {file.name!r} = {file.path}: {file.error or 'ours alone'}")
    return found


def _examined(path: Path) -> PluginFile:
    """What a file says without being run."""
    if reason := plugin_trust.refusal(path):
        return PluginFile(path=path, error=reason)
    try:
        text = path.read_text(encoding="utf-8")
        hooks = tuple(dict.fromkeys(_hooks(ast.parse(text, str(path)))))
        requires = _requires(text)
    except SyntaxError as error:
        return PluginFile(path=path, error=f"{path}:{error.lineno or 1}: SyntaxError: {error.msg}")
    except (OSError, ValueError, RecursionError) as error:
        return PluginFile(path=path, error=f"{path}: {type(error).__name__}: {error}")
    return PluginFile(path=path, hooks=hooks, requires=requires, error=_wrong_hooks(path, hooks))


def _wrong_hooks(path: Path, hooks: tuple[str, ...]) -> str:
    if not hooks:
        return f"{path} has no hook: mark a function such as rexray_storage_drivers with rexray.hookimpl"
    unknown = next((hook for hook in hooks if hook not in HOOKS), "")
    if not unknown:
        return ""
    near = nearest(unknown, sorted(HOOKS))
    return f"{path}: unknown hook {unknown!r}" + (f"; did you mean {near!r}?" if near else "")


def _hooks(tree: ast.Module) -> Iterator[str]:
    """The hooks that a module's functions are named after, or are marked as implementations of."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        marks = [mark for mark in node.decorator_list if _ends_with(mark, "hookimpl")]
        if marks or node.name in HOOKS:
            yield next((name for mark in marks if (name := _specname(mark))), node.name)


def _ends_with(mark: ast.expr, name: str) -> bool:
    mark = mark.func if isinstance(mark, ast.Call) else mark
    return (mark.attr if isinstance(mark, ast.Attribute) else getattr(mark, "id", "")) == name


def _specname(mark: ast.expr) -> str:
    """The hook that ``@hookimpl(specname=...)`` names."""
    for keyword in mark.keywords if isinstance(mark, ast.Call) else ():
        if keyword.arg == "specname" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return ""


def _requires(text: str) -> tuple[str, ...]:
    """The ``dependencies`` of the file's block; ``ValueError`` where the block is not what PEP 723 says."""
    blocks = list(_BLOCK.finditer(text))
    if not blocks:
        return ()
    if len(blocks) > 1:
        raise ValueError("there are several blocks '# /// script', one is allowed")
    import tomllib  # only a file that has a block needs it

    lines = blocks[0].group("content").splitlines(keepends=True)
    stated = tomllib.loads("".join(line.removeprefix("# ") if line[1:2] == " " else line[1:] for line in lines))
    found = stated.get("dependencies", [])
    if not isinstance(found, list) or not all(isinstance(line, str) for line in found):
        raise ValueError("dependencies is not a list of texts in the block '# /// script'")
    return tuple(found)
