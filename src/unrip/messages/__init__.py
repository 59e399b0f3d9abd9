"""The events on the wire: envelope, one payload type per topic, encode and decode, topics, published schemas."""
