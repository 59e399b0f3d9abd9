"""Kafka: producer, consumer, admin, and an in-memory twin with the same contract tests."""
