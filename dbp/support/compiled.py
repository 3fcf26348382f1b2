"""Functions that numba compiles, with a cache of machine code wherever one can lie.

numba keeps the code beside our modules, or in ``NUMBA_CACHE_DIR``. Where those cannot be written
(an installation of the system's, a container), it lies in ``numba`` of our own cache
(`dbp.support.cache.folder`), and where there is no home either, in a temporary folder.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

from dbp.errors import ToolError
from dbp.support import cache, family

_NAMES = ("UserProvidedCacheLocator", "InTreeCacheLocator")
# numba's own classes; older releases have an underscore before their names.
_USER_PROVIDED, _IN_TREE = (
    getattr(caching, name, None) or getattr(caching, f"_{name}") for name in _NAMES
)


class _Locator(_IN_TREE):  # type: ignore[misc, valid-type]
    """A folder of its own for the code of each of our modules."""

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(self.parent() / self.get_suitable_cache_subpath(file))

    @staticmethod
    def parent() -> Path:
        raise NotImplementedError


class _InOurCache(_Locator):
    @staticmethod
    def parent() -> Path:
        return cache.folder() / "numba"

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        found = super().from_function(py_func, py_file)
        # We run the code that lies there, so it must not be that of another user.
        return found if found and cls.parent().stat().st_uid == os.getuid() else None


class _Temporary(_Locator):
    @staticmethod
    def parent() -> Path:
        return _temporary()

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        try:
            return super().from_function(py_func, py_file)
        except ToolError:
            return None


@functools.cache
def _temporary() -> Path:
    """A folder that is there until this process ends, or the one of whose family it is."""
    variables = _until_the_end.enter_context(family.held())
    return Path(variables.get("TMPDIR") or tempfile.gettempdir()) / "numba"


_until_the_end = contextlib.ExitStack()


class _Implementation(caching.CompileResultCacheImpl):
    # numba declares it so.
    _locator_classes: list[type[object]] = [  # noqa: RUF012
        *(_USER_PROVIDED, _IN_TREE),
        *(_InOurCache, _Temporary),
    ]


class Cache(caching.FunctionCache):
    """numba's cache of a function; what cannot be read or kept is compiled again."""

    _impl_class = _Implementation

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the code for a signature, None where it has to be compiled."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a damaged file: whatever unpacking it may raise
            found = None
            with contextlib.suppress(OSError):
                self.flush()
        if found is None:
            _announce(isinstance(self._impl.locator, _Temporary))
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code for a signature."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn(
                f"{error.filename or self.cache_path}: {error.strerror}: compiled code is not kept"
            )


@functools.cache
def _announce(is_temporary: bool) -> None:
    """Say, once, why nothing happens for some seconds; worker processes are silent."""
    if multiprocessing.parent_process() is None:
        how_often = (
            "every time, since no folder keeps the code: set NUMBA_CACHE_DIR to one"
            if is_temporary
            else "the first time after an installation"
        )
        _warn(f"Compiling for this processor: takes up to a minute, {how_often}")


@functools.cache
def _warn(message: str) -> None:
    logging.getLogger(__name__).warning(message)


def njit(*, kind: type[Cache] = Cache, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return ``numba.njit(cache=True, **options)`` with our cache, of that ``kind``."""

    def compile_(function: Callable[..., Any]) -> Any:
        try:
            found = kind(function)
        except RuntimeError:  # nowhere at all
            return numba.njit(**options)(function)
        compiled = numba.njit(**options)(function)
        # As numba does for ``cache=True``.
        compiled._cache = found
        return compiled

    return compile_
