"""The command line: `hermes_nnunet COMMAND`, a module a command."""
