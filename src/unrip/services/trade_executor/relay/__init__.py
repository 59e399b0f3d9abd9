"""Our connection to the relay, and the notices that it repeats until they are acknowledged."""
