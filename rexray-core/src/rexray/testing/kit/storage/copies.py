"""Copies of snapshots in other regions."""
