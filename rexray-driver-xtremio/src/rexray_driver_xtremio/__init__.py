"""xtremio: the volumes of Dell EMC XtremIO, by iSCSI."""

__version__ = "0.1.0"
