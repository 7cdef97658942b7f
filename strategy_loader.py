"""STRATEGY: an owner's own strategy instead of the built-in one. Runs the owner's module; all its trouble is told.

The broad excepts here are a border to code that is not ours: whatever it raises becomes a sentence for the owner.
"""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import cast

from errors import SettingsError
from strategy import DipStrategy, Rules, Strategy

_METHODS = ("decide_buys", "decide_sale", "decide_stop_loss")


def load_strategy(spec: str | None, rules: Rules) -> Strategy:
    """The strategy that ``STRATEGY`` names (``package.module:Class``, made with the rules), or the built-in one.

    Runs the owner's module. Raises SettingsError that says in Korean what to type.
    """
    if not spec:
        return DipStrategy(rules)
    module_name, _, class_name = spec.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), class_name)):
        raise _unusable("package.module:Class 꼴로 쓰세요 (예: STRATEGY=my_strategy:MyStrategy).")
    return _made(_class_in(_imported(module_name), class_name), rules)


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except (Exception, SystemExit) as exc:
        if isinstance(exc, ModuleNotFoundError) and exc.name and f"{name}.".startswith(f"{exc.name}."):
            file = f"{name.replace('.', '/')}.py"
            what = f"{name} 모듈을 찾을 수 없습니다. main.py가 있는 폴더에 {file} 파일을 두거나 이름을 고치세요."
            raise _unusable(what) from exc
        raise _unusable(f"{name} 모듈을 불러오다 실패했습니다. 그 파일을 고치세요 ({_told(exc)}).") from exc


def _class_in(module: ModuleType, name: str) -> type:
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = [member for member, value in vars(module).items() if isinstance(value, type)]
        near = get_close_matches(name, classes, n=1)
        hint = f" 혹시 {module.__name__}:{near[0]} 아닌가요?" if near else ""
        raise _unusable(f"{module.__name__} 모듈에 {name} 클래스가 없습니다. 콜론 뒤의 이름을 고치세요.{hint}")
    missing = [method for method in _METHODS if not _has(found, method)]
    if missing:
        raise _unusable(f"{name} 클래스에 다음 메서드를 만드세요: {', '.join(f'{m}(self, view)' for m in missing)}.")
    return found


def _has(strategy: type, method: str) -> bool:
    """Whether the class has the method, and not only the empty one inherited from ``Strategy``."""
    found = getattr(strategy, method, None)
    return callable(found) and found is not getattr(Strategy, method)


def _made(strategy: type, rules: Rules) -> Strategy:
    name = strategy.__name__
    try:
        made = strategy(rules)
    except (Exception, SystemExit) as exc:
        what = f"{name}(rules)로 만들다 실패했습니다. def __init__(self, rules)를 고치세요 ({_told(exc)})."
        raise _unusable(what) from exc
    for method in _METHODS:
        if not _takes_one_argument(getattr(made, method)):
            raise _unusable(f"{name} 클래스의 {method}를 def {method}(self, view) 꼴로 쓰세요.")
    return cast("Strategy", made)


def _takes_one_argument(method: object) -> bool:
    try:
        inspect.signature(cast("type", method)).bind(object())
    except (TypeError, ValueError):
        return False
    return not inspect.iscoroutinefunction(method)


def _told(exc: BaseException) -> str:
    """The error on one line."""
    return " ".join(f"{type(exc).__name__}: {exc}".split()).rstrip(": ")


def _unusable(what: str) -> SettingsError:
    return SettingsError(f"STRATEGY: {what} 내장 전략으로 돌아가려면 STRATEGY 줄을 지우세요.")
