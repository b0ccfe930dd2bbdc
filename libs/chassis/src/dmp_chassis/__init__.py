"""What every service stands on and that has no business noun: server, errors, database, settings, domain events.

Import the modules, not this package: it exports nothing, so that a command which needs one module pays for one.
"""
