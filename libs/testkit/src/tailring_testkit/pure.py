"""The Python sources of a package, imported beside its compiled form.

`load_pure("tailring_x")` gives a second copy of the package, made of its ``.py`` files
under the name ``tailring_x_pure``, whether or not extensions lie beside them: a test
can ask both the same question.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["load_pure"]

_SUFFIX = "_pure"


class _RenamedSource(Loader):
    """Runs a source file in which the package's name is replaced."""

    def __init__(self, path: Path, package: str) -> None:
        self._path = path
        self._package = package

    def exec_module(self, module: ModuleType) -> None:
        source = self._path.read_text(encoding="utf-8")
        source = source.replace(self._package, self._package + _SUFFIX)
        module.__file__ = str(self._path)
        exec(compile(source, str(self._path), "exec"), module.__dict__)


class _PureFinder(MetaPathFinder):
    """Finds the modules of one package under its second name."""

    def __init__(self, package: str, folder: Path) -> None:
        self._package = package
        self._folder = folder

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 -- the signature of the base class
        target: ModuleType | None = None,  # noqa: ARG002 -- the same
    ) -> ModuleSpec | None:
        name, *inner = fullname.split(".")
        if name != self._package + _SUFFIX:
            return None
        file = self._folder.joinpath(*inner)
        folder = file.is_dir()
        file = file / "__init__.py" if folder else file.with_suffix(".py")
        loader = _RenamedSource(file, self._package)
        return importlib.util.spec_from_loader(fullname, loader, is_package=folder)


def load_pure(package: str) -> Any:
    """Import the sources of a package; the same module at every call."""
    alias = package + _SUFFIX
    if alias not in sys.modules:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(package)
        folder = Path(spec.origin).parent
        sys.meta_path.insert(0, _PureFinder(package, folder))
    return importlib.import_module(alias)
