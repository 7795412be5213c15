"""The conformance kit: checks of what the contracts say, for any driver of any distribution.

A check is a function that takes a rig, which makes the driver under test and tidies up after it. The kit needs no
pytest: ``rexray driver check`` runs those of its checks that only read; :mod:`rexray.testing.conformance` runs all of
them under pytest.
"""
