"""The message bus between askers and solvers. Pure."""
