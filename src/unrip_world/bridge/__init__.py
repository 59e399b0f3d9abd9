"""The deposit and withdrawal service. Pure."""
