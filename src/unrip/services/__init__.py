"""One module per service: its pure logic and its wiring."""
