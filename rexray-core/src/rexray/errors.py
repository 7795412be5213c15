"""What can go wrong, in words that every protocol can translate.

::

    RexrayError
    ├── InvalidRequest        what was asked makes no sense: a bad name, type, option or parameter
    │   └── SettingsError     a configuration file, environment variable or flag is wrong
    ├── NotFound              the volume, snapshot, instance or device does not exist
    ├── AlreadyExists         it exists, but differs from what was asked
    ├── InUse                 it is attached, mounted or held by somebody else
    ├── NotReady              a step that has to come first was not taken
    ├── Busy                  another operation on the same thing is under way: try again
    │   └── StalePage         a page token is not, or is no longer, one of ours: list again
    ├── WrongDevice           the device found is not the volume's; nothing was done to it
    ├── OutOfCapacity         the platform, pool or host has no room left
    ├── OutOfRange            a size beyond what the platform can make
    ├── Unauthorized          the platform refused the credentials
    ├── Forbidden             this process or this caller may not do that
    ├── Unavailable           the platform cannot be reached now: try again
    ├── TimedOut              a deadline passed
    ├── Unsupported           the driver cannot do that
    └── PluginError           a plug-in cannot be used
        ├── NotInstalled      no installed distribution has it
        ├── PluginConflict    two installed distributions claim one name
        └── BrokenPlugin      it does not load, or does not keep to the contract

A message is one line that names what was wrong, where, and what to do about it.
"""

from __future__ import annotations


class RexrayError(Exception):
    """The root of every error that REX-Ray raises on purpose."""


class InvalidRequest(RexrayError):
    """The request is malformed or contradicts itself; repeating it will not help."""


class SettingsError(InvalidRequest):
    """A setting has a wrong value; the message names the file, variable or flag."""


class NotFound(RexrayError):
    """The named object does not exist."""


class AlreadyExists(RexrayError):
    """An object of that name exists and differs; the message has both states."""


class InUse(RexrayError):
    """The object is in use; the message says by whom."""


class NotReady(RexrayError):
    """A step that has to come first was not taken, such as staging before publishing."""


class Busy(RexrayError):
    """Another operation on the same object is under way; the message says which and for how long."""


class StalePage(Busy):
    """A page token that this listing did not hand out, or that is no longer good."""


class WrongDevice(RexrayError):
    """A block device is not the one that it should be; nothing was written to it."""


class OutOfCapacity(RexrayError):
    """No room is left: bytes, volumes or attachments."""


class OutOfRange(RexrayError):
    """A size or limit beyond what can be made."""


class Unauthorized(RexrayError):
    """The platform refused the credentials."""


class Forbidden(RexrayError):
    """This process, or this caller, lacks the right to do that."""


class Unavailable(RexrayError):
    """The platform or service cannot be reached now; the same request may succeed later."""


class TimedOut(RexrayError):
    """The deadline of an operation passed before it was done."""


class Unsupported(RexrayError):
    """The driver lacks the capability that was asked for."""


class PluginError(RexrayError):
    """A plug-in cannot be used."""


class NotInstalled(PluginError):
    """No installed distribution provides the plug-in; the message says what to install."""


class PluginConflict(PluginError):
    """Two installed distributions claim one plug-in name; the message names both."""


class BrokenPlugin(PluginError):
    """A plug-in fails to load or breaks the contract; the message names its distribution."""
