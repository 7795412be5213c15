"""New distributions of drivers: what ``rexray driver new`` writes.

``kinds`` says what the kinds have of their own, ``naming`` what a driver may be called, ``writing`` puts the files
there. The files themselves are below ``templates``: those of every kind in ``common``, and those of one in a folder of
its name. A ``$word`` in them stands for a value (``string.Template``), the folder ``package`` for the package's name,
and ``dot-`` at the beginning of a name for the dot that would hide the file here.
"""
