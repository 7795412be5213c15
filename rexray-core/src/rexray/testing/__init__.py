"""The kit for tests of drivers and of programs that use them."""
