"""Measure everything and print the table."""

from __future__ import annotations

import os
import platform
import signal
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from benchmarks import counting, recovery, startup, transport
from benchmarks.certificates import make_certificates
from benchmarks.table import Section, render

LIMIT = 45  # seconds for the whole run
ENDINGS = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOTES = """\
· 모두 127.0.0.1에서, 임시 폴더에서, 이번 실행에서 잰 값입니다. 증권사와 우리의 호출 한도는 꺼 두었습니다.
· mojito2는 고치지 않고 자기 프로세스에서 돌립니다 (주소만 바꿈). 호출마다 새로 연결하고 CA 묶음을 다시 읽습니다.
· CA 묶음은 certifi의 것에 시험용 CA 하나를 더한 것이고, 세 방법이 같은 파일을 믿습니다.
· 복구의 61초 발급 간격은 증권사와 데몬의 시계를 함께 밀어 건너뜁니다. 로그·토큰·DB 쓰기는 실제 디스크입니다."""


def main() -> int:
    """Print the table; the exit status is 0 whatever it says."""
    _bound()
    print(_machine(), flush=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="autostock-benchmarks-") as name:
        sections = _measure(Path(name))
    print(render(sections), NOTES, f"· 걸린 시간 {time.perf_counter() - started:.0f}초", sep="\n")
    return 0


def _machine() -> str:
    system = f"{platform.system()} {platform.machine()}, 코어 {os.cpu_count()}개"
    openssl = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    return f"AutoStock 수치 · Python {platform.python_version()}, {openssl} · {system}"


def _measure(folder: Path) -> list[Section]:
    certificates = make_certificates(folder)
    return [
        startup.measure(folder),
        counting.measure_cache(folder),
        recovery.measure(folder, certificates),
        transport.measure(folder, certificates),
        counting.measure_requests(folder),
    ]


def _bound() -> None:
    """However it ends, it ends soon and in good order: processes gone, folders removed."""
    for number in ENDINGS:
        signal.signal(number, _leave)
    signal.alarm(LIMIT)


def _leave(number: int, frame: object) -> NoReturn:
    """Once; the clearing up is not to be interrupted."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    sys.exit(f"중단합니다 ({signal.Signals(number).name})")


if __name__ == "__main__":
    sys.exit(main())
