"""Packages that programs in Python may import besides the standard library, read-only."""

import importlib.metadata
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from hrm_jax.core.errors import UserError
from hrm_jax.evaluation.sandbox.base import Mount

FOLDER = "/packages"
"""Where they are inside the sandbox."""


class PackageMissing(UserError, ImportError):
    """A package that programs may import is not installed; the message says what to do."""


def package_mounts(names: Sequence[str]) -> tuple[Mount, ...]:
    """Returns mounts of packages, as they are installed here, and of what they require.

    Args:
      names: as programs import them, such as `numpy`.

    Raises:
      PackageMissing: one of them is not installed.
    """
    if not names:
        return ()
    installed = importlib.metadata.packages_distributions()
    missing = [name for name in names if name not in installed]
    if missing:
        raise PackageMissing(_remedy(missing))
    # Several distributions may bring one name.
    first = {distribution for name in names for distribution in installed[name]}
    entries = {path for one in _with_required(first) for path in _entries(one)}
    return tuple(Mount(str(path), f"{FOLDER}/{path.name}") for path in sorted(entries))


def _remedy(missing: Sequence[str]) -> str:
    standard = [name for name in missing if name in sys.stdlib_module_names]
    if standard:
        return f"--allow_packages: {', '.join(standard)} is of the standard library; leave it out"
    named = ", ".join(missing)
    return (
        f"--allow_packages: expected packages that are installed for {sys.executable}, got {named};"
        f" install what brings {named} (pip install ...), or leave it out"
    )


def _with_required(names: Iterable[str]) -> list[importlib.metadata.Distribution]:
    """Returns distributions and those that they require, directly or not, and that are there."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        # Names are equal as PEP 503 normalises them.
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # a requirement of another platform
            continue
        # What only extras want is left out.
        required = [text for text in found[name].requires or () if "extra ==" not in text]
        waiting += [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in required]
    return list(found.values())


def _entries(distribution: importlib.metadata.Distribution) -> set[Path]:
    """Returns the files and folders of a distribution right below the folder of all packages."""
    # What lies elsewhere, such as programs, begins with "..".
    tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    paths = {Path(str(distribution.locate_file(top))).resolve() for top in tops}
    return {path for path in paths if path.exists()}
