"""The relay: answers go out, replies and settlement notices come in."""
