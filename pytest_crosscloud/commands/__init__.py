"""The subcommands of ``crosscloud``, one module each: ``add_arguments(parser)`` and ``main(args) -> exit code``."""
