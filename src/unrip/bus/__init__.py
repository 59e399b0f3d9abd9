"""Kafka behind three small ports (producer, consumer, admin), with an in-memory twin that makes the same promises."""
