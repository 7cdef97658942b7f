"""Processes of the benchmark's own: asked a line, they answer a line; they end when their input ends."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from benchmarks import ROOT
from benchmarks.certificates import Certificates

PATIENCE = 20.0  # seconds for one answer
FAREWELL = 2.0  # seconds to end by itself


class Worker:
    """``python -m <module>`` in ``folder``. Its first answer, ``hello``, comes when it is ready."""

    def __init__(self, module: str, *arguments: str, folder: Path, env: Mapping[str, str] | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self._name = " ".join((module, *arguments[:1]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env=bare_environment(folder) | {"PYTHONPATH": str(ROOT)} | dict(env or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl+C is for the benchmark, which then ends its workers
        )
        try:
            self.hello = self._read()
        except BaseException:
            self.close()
            raise

    def ask(self, request: object, patience: float = PATIENCE) -> Any:
        """The worker's answer to one request, within ``patience`` seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self._read(patience)

    def close(self) -> None:
        """End it."""
        end(self._process)

    def _read(self, patience: float = PATIENCE) -> Any:
        pipe = self._process.stdout
        assert pipe is not None
        if not select.select([pipe], [], [], patience)[0]:
            raise RuntimeError(f"{self._name}: {patience:g}초 동안 답이 없습니다")
        line = pipe.readline()
        if not line:
            raise RuntimeError(f"{self._name}: 답 없이 끝났습니다")
        return json.loads(line)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def server(folder: Path, certificates: Certificates, *, latency: float = 0.0, limits: bool = False) -> Worker:
    """The embedded broker over TLS; its ``hello`` is its address, and asked a number it pushes its clock.

    ``latency`` is in seconds before each answer; with ``limits`` it refuses calls that come too fast, as KIS does.
    """
    return Worker("benchmarks.server", str(certificates.server), str(latency), str(int(limits)), folder=folder)


def end(process: subprocess.Popen[bytes], *, ask: Callable[[], object] = lambda: None) -> None:
    """Close its input, ``ask`` it to end, and end it if it does not."""
    _close(process.stdin)
    ask()
    try:
        process.wait(FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _close(process.stdout)


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with suppress(OSError):  # nobody at its other end
            pipe.close()


def answer(hello: object, handle: Callable[[Any], object]) -> None:
    """A worker's whole life: say ``hello``, then answer line by line until the input ends."""
    print(json.dumps(hello), flush=True)
    for line in sys.stdin:
        print(json.dumps(handle(json.loads(line))), flush=True)


def bare_environment(home: Path) -> dict[str, str]:
    """Nothing of the owner's: no settings, no proxies, no home."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "PYTHONUTF8": "1", "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
