"""near-intents-ingest: the relay's quote requests as raw records and normalized demands; it decides nothing."""
