"""trade-executor, wired."""

from __future__ import annotations

from datetime import timedelta

from unrip.domain.pairs import Pair
from unrip.domain.spending import SpendingCaps
from unrip.frame.arming import arming_of
from unrip.frame.outbox import OutboxPublisher
from unrip.frame.settings import SettingsError
from unrip.frame.switchboard import Switchboard
from unrip.frame.wiring import Context, Wiring
from unrip.net.clock_offset import ClockOffset
from unrip.net.events import CloseSocket, SendFrame
from unrip.net.secret_file import SecretFileError
from unrip.net.switch import Switch
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.definition import SERVICE
from unrip.services.trade_executor.effects import CloseRelay, OpenRelay
from unrip.services.trade_executor.handlers.ledger import LedgerHandlers
from unrip.services.trade_executor.handlers.revocations import ATTEMPT_BOUND_S, RevocationHandlers
from unrip.services.trade_executor.handlers.signer import SignerHandlers
from unrip.services.trade_executor.handlers.verifier import VerifierHandlers
from unrip.services.trade_executor.intake.inspection import Inspector
from unrip.services.trade_executor.logic import TradeExecutor
from unrip.services.trade_executor.relay.client import RelayClient
from unrip.services.trade_executor.settings import SpendingSettings
from unrip.services.venue import account_of, public_key_of, relay_headers_of, rpc_client_of, verifier_of
from unrip.venues.near_intents.access import relay_url
from unrip.venues.near_intents.nonces import encode_nonce
from unrip.venues.near_intents.relay import QUOTE, QUOTE_STATUS, RelaySession, Stream
from unrip.venues.near_intents.relay_rpc import RelayRpc, api_key_headers
from unrip.venues.near_intents.signer import Signer


def wire(context: Context) -> Wiring:
    """Commands in, offers out over our own relay connection, results through the ledger's outbox."""
    venue, account, signer = context.settings.near_intents, account_of(context), _signer(context)
    emit, clock = context.emit, context.clock
    arming = arming_of(context, SERVICE.name)
    http = rpc_client_of(context)
    http.on_date = ClockOffset(clock=clock, tell=emit).answered
    verifier = verifier_of(
        context,
        http,
        public_key=signer.public_key,
        asset_ids=[asset.asset_id for asset in context.pair.assets()],
    )
    store = context.opened(context.adapters.ledger(writer=context.start_id))
    outbox = OutboxPublisher(store, context.produce, named="result_not_published", count=context.metrics.count)
    relay_http = context.http("relay_rpc", total_timeout_s=ATTEMPT_BOUND_S)
    relay = RelayRpc(relay_http, venue.relay_rpc_url, headers=api_key_headers(venue.executor_token_file))
    asks = (
        LedgerHandlers(
            store,
            account=account,
            start=context.start,
            emit=emit,
            clock=clock,
            uptime_s=context.adapters.uptime_s,
            on_outbox=outbox.wake,
            leave_role=context.leave_role,
        ),
        SignerHandlers(signer, verifier, pair=context.pair, account=account, ask=context.ask, clock=clock),
        VerifierHandlers(verifier, account=account, ask=context.ask),
        RevocationHandlers(signer, relay, verifier, account=account, ask=context.ask),
    )
    url = relay_url(venue.relay_ws_url, instance_id=context.settings.relay_queue)
    socket = context.socket(name=RELAY, url=url, headers=relay_headers_of(context, venue.executor_token_file))
    relay_wanted = Switch()
    return Wiring(
        logic=_logic(context, arming.switchboard, account=account, verifying_contract=signer.verifying_contract),
        handlers={
            **{effect: handler for each in asks for effect, handler in each.by_effect.items()},
            OpenRelay: lambda _: relay_wanted.turn(on=True),
            CloseRelay: lambda _: relay_wanted.turn(on=False),
            SendFrame: socket.send,
            CloseSocket: socket.close,
            **arming.handlers,
        },
        sources=(relay_wanted.while_on(socket.run), outbox.run),
        before_leaving=(outbox.publish_all,),
        troubles=(outbox.troubles,),
    )


def _logic(context: Context, switchboard: Switchboard, *, account: str, verifying_contract: str) -> TradeExecutor:
    settings = context.settings
    return TradeExecutor(
        inspector=Inspector(
            pair=context.pair,
            account=account,
            policy=settings.limits.policy(),
            eur_per_quote=settings.pair.quote_asset_eur,
            encode_nonce=encode_nonce,
            caps=caps_of(settings.section(SpendingSettings), context.pair),
            verifying_contract=verifying_contract,
        ),
        relay=RelayClient(
            RelaySession(_streams(context)),
            mute_after_ms=settings.intervals.mute_after_ms,
            subscribe_again_ms=settings.intervals.subscribe_again_ms,
        ),
        read_interval=timedelta(milliseconds=settings.intervals.executor_read_ms),
        held_check_interval=timedelta(seconds=settings.intervals.held_check_s),
        reply_bound=timedelta(milliseconds=settings.intervals.relay_reply_ms),
        switchboard=switchboard,
        nodes=len(settings.near_intents.rpc_urls),
    )


def _signer(context: Context) -> Signer:
    """The signing key.

    Raises:
        SettingsError: no key file is named, it cannot be used, or it holds another key than the account's.

    """
    venue = context.settings.near_intents
    if venue.key_file is None:
        raise SettingsError("no signing key: set [near_intents] key_file")
    try:
        signer = Signer.from_file(venue.key_file, verifying_contract=venue.verifier_contract)
    except SecretFileError as error:
        raise SettingsError(str(error)) from None
    if signer.public_key != (expected := public_key_of(context)):
        raise SettingsError(f"key file {venue.key_file} holds {signer.public_key}, the account needs {expected}")
    return signer


def caps_of(spending: SpendingSettings, pair: Pair) -> dict[str, SpendingCaps]:
    """What may be spent at most: by ledger id, in smallest units."""
    return {
        asset.asset_id: SpendingCaps(
            **{name: asset.units(getattr(spending, f"{side}_{name}")) for name in SpendingCaps.__struct_fields__}
        )
        for side, asset in (("base", pair.base), ("quote", pair.quote))
    }


def _streams(context: Context) -> tuple[Stream, ...]:
    """Whether only a subscribing socket may answer is unknown (blueprint, section 3), so ours can be one."""
    status = Stream(name=QUOTE_STATUS, guaranteed=context.settings.relay_queue is not None)
    if not context.settings.near_intents.executor_subscribes_quotes:
        return (status,)
    return (status, Stream(name=QUOTE, tokens=tuple(asset.asset_id for asset in context.pair.assets())))
