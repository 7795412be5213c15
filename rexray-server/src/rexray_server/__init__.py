"""REX-Ray's daemon: Docker's volume plug-in protocol and CSI on one socket."""
