"""Drivers without a machine: a storage platform, its node and an operating system that are kept in memory or a file.

They keep to every sentence of the contracts, and faults can be injected: what composes drivers is tested with them, and
whoever writes a driver can read them as examples. ``platform`` is the platform with what tests do to it,
``settings`` says where it is kept, ``storage``, ``node`` and ``os`` are the drivers, and ``plugin`` registers them
under the name ``memory``, for an entry point that a test installs.
"""
