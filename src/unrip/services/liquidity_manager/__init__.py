"""liquidity-manager: addresses, deposits and withdrawals as the bridge tells them; it spends nothing."""
