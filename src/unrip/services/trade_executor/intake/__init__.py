"""Commands up to their claim: in order, one at a time, inspected by our own limits, for a ledger that is the newest."""
