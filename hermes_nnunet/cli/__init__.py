"""The command line: a module for each command, with `add_arguments` and `run`, and no knowledge of its own.

`parser.COMMANDS` lists them. May import every other room, and does so inside `run`, so that help comes at once. Nobody
imports it but the converters, which are commands as well.
"""
