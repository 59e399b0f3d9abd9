"""liquidity-manager: addresses, deposits and withdrawals as the bridge reports them; it spends nothing."""
