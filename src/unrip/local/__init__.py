"""One machine: embedded servers and the supervision of processes."""
