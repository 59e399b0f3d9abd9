"""`unrip near`: the venue's signed objects, nonces and withdrawals by hand, with the functions of the product."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from unrip.cli import withdrawal
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import JsonOption
from unrip.cli.terminal import write, write_json
from unrip.domain.values import epoch_ms, from_epoch_ms
from unrip.net.exact import NotExact, decode, instant, mapping
from unrip.net.secret_file import SecretFileError
from unrip.venues.near_intents.keys import check_account_id
from unrip.venues.near_intents.nep413 import build_message
from unrip.venues.near_intents.nonces import FREE_BYTES, VersionedNonce, decode_nonce, encode_nonce
from unrip.venues.near_intents.offers import deadline_text
from unrip.venues.near_intents.signer import Signer

app = typer.Typer(
    help="By hand at NEAR Intents: sign, nonces, withdrawals. Nothing signed is sent.", no_args_is_help=True
)
nonce_app = typer.Typer(help="Versioned nonces.", no_args_is_help=True)
app.add_typer(nonce_app, name="nonce")
app.add_typer(withdrawal.app, name="withdrawal")

#: The longest text that is read: no message of the venue comes near it.
_INPUT_BYTES_MAX = 1024 * 1024
_MILLISECONDS_DIGITS_MAX = 20

_Intents = Annotated[
    str, typer.Argument(metavar="[FILE]", help="Whole message (JSON object) or list of intents; - is standard input.")
]
_KeyFile = Annotated[Path, typer.Option("--key-file", help="NEAR private key, ed25519:…, readable by its owner only.")]
_Nonce = Annotated[str, typer.Option("--nonce", help="Base64 of 32 bytes; see `unrip near nonce encode`.")]
_Recipient = Annotated[str, typer.Option("--recipient", help="The verifying contract.")]
_Signer = Annotated[str | None, typer.Option("--signer", help="For a list of intents. Default: the key's own account.")]
_MessageDeadline = Annotated[
    str | None, typer.Option("--deadline", help="For a list of intents: RFC 3339, or milliseconds since 1970.")
]
_CallbackUrl = Annotated[str | None, typer.Option("--callback-url", help="Signed with the rest; solvers have none.")]
_Salt = Annotated[str, typer.Option("--salt", help="8 hex digits, the contract's current_salt.")]
_NonceDeadline = Annotated[str, typer.Option("--deadline", help="RFC 3339, or milliseconds since 1970.")]
_Free = Annotated[str | None, typer.Option("--random", help="The 15 free bytes in hex. Default: drawn anew.")]


@app.command("sign")
def sign(
    key_file: _KeyFile,
    nonce: _Nonce,
    source: _Intents = "-",
    recipient: _Recipient = "intents.near",
    signer_id: _Signer = None,
    deadline: _MessageDeadline = None,
    callback_url: _CallbackUrl = None,
    json_output: JsonOption = False,  # noqa: FBT002 - Typer's form
) -> None:
    """Sign a message (NEP-413) and print the signed object with its intent hash.

    A message is signed letter by letter, but for one line break at its end.
    """
    given = _read(source)
    with _usage_errors():
        signer = Signer.from_file(key_file, verifying_contract=check_account_id(recipient))
        message = _message(given, signer_id=signer_id, deadline=deadline, own_account=signer.implicit_account_id)
        signed = signer.sign_message(message, nonce=nonce, callback_url=callback_url)
    if json_output:
        write_json({"intent_hash": signed.intent_hash, "signed": signed.signed_data}, indent=None)
    else:
        write(f"intent hash: {signed.intent_hash}")
        write_json(signed.signed_data)


@nonce_app.command("encode")
def encode(salt: _Salt, deadline: _NonceDeadline, free: _Free = None, json_output: JsonOption = False) -> None:  # noqa: FBT002 - Typer's form
    """Make a versioned nonce of salt, deadline and 15 free bytes."""
    with _usage_errors():
        free_bytes = secrets.token_bytes(FREE_BYTES) if free is None else bytes.fromhex(free)
        text = encode_nonce(salt, _milliseconds(deadline), free_bytes)
        decoded = decode_nonce(text)
    if json_output:
        write_json(_parts(text, decoded), indent=None)
    else:
        write(text)


@nonce_app.command("decode")
def decode_(nonce: str, json_output: JsonOption = False) -> None:  # noqa: FBT002 - Typer's form
    """Show what a versioned nonce carries; exit 2 for a legacy one, which carries nothing."""
    with _usage_errors():
        parts = _parts(nonce, decode_nonce(nonce))
    if json_output:
        write_json(parts, indent=None)
    else:
        for name, value in parts.items():
            write(f"{name}: {value}")


def _read(source: str) -> str:
    """The text to sign, from a file or standard input, without one line break at its end."""
    try:
        if source == "-":
            data = sys.stdin.buffer.read(_INPUT_BYTES_MAX + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(_INPUT_BYTES_MAX + 1)
        if len(data) > _INPUT_BYTES_MAX:
            raise CommandFailed(f"{source}: more than {_INPUT_BYTES_MAX} bytes are no message", code=Exit.USAGE)
        return data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise CommandFailed(f"{source}: {error.strerror}", code=Exit.USAGE) from None
    except UnicodeDecodeError:
        raise CommandFailed(f"{source}: not UTF-8", code=Exit.USAGE) from None


def _message(given: str, *, signer_id: str | None, deadline: str | None, own_account: str) -> str:
    """The text to sign: the given one, or one built around the given intents.

    Raises:
        ValueError: it is neither, says something twice, or names no account.

    """
    document = decode(given)
    if isinstance(document, list):
        if deadline is None:
            raise ValueError("a list of intents needs --deadline")
        if not all(isinstance(each, dict) and isinstance(each.get("intent"), str) for each in document):
            raise ValueError('every intent is an object with a field "intent"')
        return build_message(
            deadline=_strict_deadline(deadline),
            intents=_plain(given),
            signer_id=own_account if signer_id is None else signer_id,
        )
    message = mapping(document, "the message")
    if signer_id is not None or deadline is not None:
        raise ValueError("a whole message has its own signer and deadline: leave --signer and --deadline out")
    check_account_id(message["signer_id"] if isinstance(message.get("signer_id"), str) else "")
    instant(message.get("deadline"))
    return given


def _plain(given: str) -> Any:
    """The intents for writing them out again: amounts are texts, so no number needs more than an integer."""
    return json.loads(given, parse_float=_no_fraction)


def _no_fraction(number: str) -> None:
    raise ValueError(f"{number[:40]}: amounts are decimal texts, and no other number has a fraction")


def _strict_deadline(text: str) -> str:
    """A deadline as the product writes it, in whole milliseconds with `Z` (protocol/intents-and-signing section 11)."""
    try:
        return deadline_text(from_epoch_ms(_milliseconds(text)))
    except OverflowError:
        raise ValueError(f"deadline {text[:40]} is no date that exists") from None


def _milliseconds(text: str) -> int:
    """Milliseconds since 1970 from their digits or from an RFC 3339 text.

    Raises:
        ValueError: it is neither, or not a whole millisecond.

    """
    if text.isascii() and text.isdigit() and len(text) <= _MILLISECONDS_DIGITS_MAX:
        return int(text)
    at = instant(text)
    milliseconds = epoch_ms(at)
    if from_epoch_ms(milliseconds) != at:
        raise ValueError(f"deadline {text[:40]} is not a whole millisecond")
    return milliseconds


def _parts(text: str, nonce: VersionedNonce) -> dict[str, Any]:
    """What a nonce carries; nanoseconds as text, since JSON readers do not keep such large numbers exact."""
    return {
        "nonce": text,
        "version": nonce.version,
        "salt": nonce.salt,
        "deadline_ns": str(nonce.deadline_ns),
        "random": nonce.free.hex(),
    }


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn every error into one of usage: everything that can be wrong here is wrong in what was given."""
    try:
        yield
    except (NotExact, ValueError, SecretFileError) as error:
        raise CommandFailed(str(error), code=Exit.USAGE) from None
