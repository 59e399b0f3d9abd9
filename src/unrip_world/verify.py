"""`verify`: ask the world's contract about signed intents, without running a world."""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from unrip_world.cases import CaseError, judge, judge_alone, judge_signed, read_cases, read_json, read_state, simulate
from unrip_world.codec import encode_json, ns_to_rfc3339, rfc3339_to_ns
from unrip_world.terminal import say, say_json

DESCRIPTION = """\
Judge signed intents as the ledger contract does. The input is one signed object, one case (`state` and `signed` as in
the public vectors) or, with --cases, a case or a whole file of them; a case gives one JSON line with id, ok, error and
balances_after. Without --state, one signed object is judged only by what it says itself and by the time.
Exit codes: 0 valid, or all cases judged; 1 the signed object is not valid; 2 wrong arguments or unusable input."""
_STDIN = Path("-")
S = TypeVar("S")
T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="signed object or case; - or none is stdin")
    parser.add_argument(
        "--cases", type=Path, metavar="FILE", help="a case, a list of cases or a vector file; - is stdin"
    )
    parser.add_argument("--state", type=Path, metavar="FILE", help="contract state for one signed object")
    parser.add_argument("--now", metavar="RFC3339", help="block time for one signed object")
    parser.add_argument("--simulate", action="store_true", help="what simulate_intents says, instead of executing")
    parser.add_argument("--json", action="store_true", help="one JSON line for a signed object too")


def run(arguments: argparse.Namespace, *, now_ns: Callable[[], int]) -> int:
    """Judge and print; gives the exit code."""
    # A reader like `head` may stop before the last case: then this ends as other filters do.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        return _run(arguments, now_ns)
    except CaseError as error:
        say(f"unrip_world verify: {error}", err=True)
        return 2


def _run(arguments: argparse.Namespace, now_ns: Callable[[], int]) -> int:
    if arguments.cases is not None and arguments.file is not None:
        raise CaseError("give either FILE or --cases FILE")
    path: Path = arguments.cases or arguments.file or _STDIN
    document = _load(path, _object_or_list)
    if arguments.cases is not None or isinstance(document, list) or document.keys() & {"cases", "signed"}:
        return _judge_cases(path, document, arguments)
    verdict = _judge_signed(document, arguments, now_ns)
    if arguments.json:
        say_json(encode_json(verdict))
    else:
        for line in _lines(verdict):
            say(line)
    return 0 if verdict["valid"] else 1


def _object_or_list(document: object) -> dict[str, Any] | list[Any]:
    if not isinstance(document, (dict, list)):
        raise CaseError("neither a signed object nor a case")
    return document


def _judge_cases(path: Path, document: object, arguments: argparse.Namespace) -> int:
    if arguments.state is not None or arguments.now is not None:
        raise CaseError("--state and --now are for one signed object; a case has its own")
    for case in _checked(path, read_cases, document):
        say_json(encode_json(simulate(case) if arguments.simulate else judge(case)))
    return 0


def _judge_signed(document: object, arguments: argparse.Namespace, now_ns: Callable[[], int]) -> dict[str, object]:
    if arguments.state is not None:
        state = _load(arguments.state, read_state)
        if arguments.now is not None:
            state = msgspec.structs.replace(state, now=ns_to_rfc3339(_instant(arguments.now), digits=9))
        return judge_signed(document, state, simulated=arguments.simulate)
    if arguments.simulate:
        raise CaseError("--simulate needs the contract's state: give --state FILE")
    return judge_alone(document, now_ns=now_ns() if arguments.now is None else _instant(arguments.now))


def _instant(text: str) -> int:
    try:
        return rfc3339_to_ns(text)
    except ValueError as error:
        raise CaseError(f"--now {text!r}: {error}") from error


def _load(path: Path, reader: Callable[[object], T]) -> T:
    try:
        text = sys.stdin.buffer.read() if path == _STDIN else path.read_bytes()
    except OSError as error:
        raise CaseError(f"{path}: cannot be read: {error.strerror}") from error
    return _checked(path, lambda raw: reader(read_json(raw)), text)


def _checked(path: Path, reader: Callable[[S], T], value: S) -> T:
    """Read with the file's name in front of what is wrong."""
    try:
        return reader(value)
    except CaseError as error:
        raise CaseError(f"{'standard input' if path == _STDIN else path}: {error}") from error


def _lines(verdict: Mapping[str, object]) -> list[str]:
    told = {
        "valid": "yes" if verdict["valid"] else f"no: {verdict['error']}",
        "standard": verdict["standard"],
        "signer": verdict["signer_id"],
        "key": verdict["public_key"],
        "intent hash": verdict["intent_hash"],
    }
    if assumed := verdict.get("assumed"):
        told["assumed"] = ", ".join(assumed) if isinstance(assumed, list) else assumed
    return [f"{name + ':':<12} {value or '-'}" for name, value in told.items()]
