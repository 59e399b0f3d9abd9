"""The venues that the desk trades on."""
