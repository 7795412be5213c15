"""The bridge: any storage driver served as a CSI plug-in. What it offers follows from the driver's mixins."""
