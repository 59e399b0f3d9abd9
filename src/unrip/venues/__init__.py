"""Venues the desk trades on."""
