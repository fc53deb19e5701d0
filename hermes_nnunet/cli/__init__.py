"""The command line: one module for each command, with `add_arguments` and `run` and no logic of its own.

`parser.COMMANDS` lists the commands. May import every other room, and does so inside `run`, so that help appears at
once. Nobody imports it except the converters, which are commands as well.
"""
