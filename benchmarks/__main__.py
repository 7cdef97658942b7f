"""Measure everything and print the table: ``python -m benchmarks [--long]``."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from benchmarks import counting, endurance, recovery, scan, startup, transport
from benchmarks.certificates import make_certificates
from benchmarks.table import Section, render

LIMIT, LONG_LIMIT = 480, 2400  # seconds for the whole run
ENDINGS = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOTES = """\
· 모두 127.0.0.1에서, 임시 폴더에서, 이번 실행에서 잰 값입니다. 호출 한도는 조회와 가상 시계 말고는 꺼 두었습니다.
· mojito2는 고치지 않고 자기 프로세스에서 돌립니다 (주소만 바꿈). 호출마다 새로 연결하고 CA 묶음을 다시 읽습니다.
· CA 묶음은 certifi의 것에 시험용 CA 하나를 더한 것이고, 세 방법이 같은 파일을 믿습니다.
· 복구의 61초 발급 간격은 증권사와 데몬의 시계를 함께 밀어 건너뜁니다. 로그·토큰·DB 쓰기는 실제 디스크입니다.
· 지연은 증권사가 답하기 전에 두는 시간입니다. 연결을 맺는 왕복은 늦추지 않으므로 새로 연결하는 mojito2에 유리합니다.
· 조회의 바닥은 한도가 마지막 요청을 내보내 주는 때입니다. 0 s는 한 번에 모두 나갈 수 있다는 뜻입니다.
· 가상 시계의 CPU는 프로세스가 쓴 실제 시간이고, 메모리에는 내장 증권사도 들어 있습니다. 1년은 --long으로 잽니다."""


def main() -> int:
    """Print the table; the exit status is 0 whatever it says."""
    long = _parse()
    _bound(LONG_LIMIT if long else LIMIT)
    print(_machine(), flush=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="autostock-benchmarks-") as name:
        sections = _measure(Path(name), long=long)
    print(render(sections), NOTES, f"· 걸린 시간 {time.perf_counter() - started:.0f}초", sep="\n")
    return 0


def _machine() -> str:
    system = f"{platform.system()} {platform.machine()}, 코어 {os.cpu_count()}개"
    openssl = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    return f"AutoStock 수치 · Python {platform.python_version()}, {openssl} · {system}"


def _parse() -> bool:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="수치를 재서 표로 보인다 (2분)")
    parser.add_argument("--long", action="store_true", help="가상 1년의 메모리까지 잰다 (10분쯤 더 걸린다)")
    return bool(parser.parse_args().long)


def _measure(folder: Path, *, long: bool) -> list[Section]:
    certificates = make_certificates(folder)
    return [
        startup.measure(folder),
        counting.measure_cache(folder),
        recovery.measure(folder, certificates),
        *transport.measure(folder / "transport", certificates),
        *scan.measure(folder / "scan", certificates),
        counting.measure_requests(folder),
        endurance.measure(folder, long=long),
    ]


def _bound(limit: int) -> None:
    """However it ends, it ends soon and in good order: processes gone, folders removed."""
    for number in ENDINGS:
        signal.signal(number, _leave)
    signal.alarm(limit)


def _leave(number: int, frame: object) -> NoReturn:
    """Once; the clearing up is not to be interrupted."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    sys.exit(f"중단합니다 ({signal.Signals(number).name})")


if __name__ == "__main__":
    sys.exit(main())
