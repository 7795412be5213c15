"""CSI v1 as every part of REX-Ray shares it: messages, calls, client, and the contract of a native plug-in.

Importing anything below this package but :mod:`rexray.csi.plugin` needs ``pip install 'rexray-core[csi]'``.
"""
