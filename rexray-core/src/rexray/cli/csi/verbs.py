"""Which verbs there are, by which names: flat, and by service as csc has them."""

from __future__ import annotations

from rexray.cli.csi import (
    attachments,
    groups,
    health,
    identity,
    metadata,
    nodes,
    snapshots,
    volumes,
)
from rexray.cli.csi.connection import VerbGroup


def arrange(root: VerbGroup) -> None:
    """Fill the group with its verbs, in the order of a volume's life, and with a group for each service."""
    root.add(volumes.create_volume, "new", "create", "create-volume")
    root.add(volumes.list_volumes, "ls", "list", "volumes", "list-volumes")
    root.add(volumes.get_volume, "get", "get-volume")
    root.add(volumes.expand_volume, "expand", "exp", "expand-volume")
    root.add(volumes.modify_volume, "modify", "modify-volume")
    root.add(volumes.validate_volume, "validate", "validate-volume-capabilities")
    root.add(volumes.get_capacity, "capacity", "get-capacity")
    root.add(volumes.delete_volume, "rm", "d", "del", "delete", "delete-volume")
    root.add(attachments.publish_volume, "att", "attach", "controller-publish")
    root.add(attachments.unpublish_volume, "det", "detach", "controller-unpublish")
    root.add(nodes.stage_volume, "stage", "node-stage")
    root.add(nodes.publish_volume, "mnt", "mount", "node-publish")
    root.add(nodes.volume_stats, "stats", "node-stats")
    root.add(nodes.expand_volume, "node-expand", "node-exp")
    root.add(nodes.unpublish_volume, "umount", "unmount", "node-unpublish")
    root.add(nodes.unstage_volume, "unstage", "node-unstage")
    root.add(snapshots.create_snapshot, "snap", "s", "create-snapshot")
    root.add(snapshots.list_snapshots, "snapshots", "sl", "snap-list", "list-snapshots")
    root.add(snapshots.get_snapshot, "getsnap", "get-snapshot")
    root.add(snapshots.delete_snapshot, "delsnap", "ds", "rmsnap", "delete-snapshot")
    root.add(health.volume_health, "health", "volume-health")
    root.add(health.node_volume_health, "node-health")
    root.add(health.storage_health, "storage-health")
    root.add(identity.plugin_info, "info", "plugin-info")
    root.add(nodes.node_info, "node-info")
    root.add(identity.all_capabilities, "caps", "capabilities")
    root.add(identity.probe, "probe")
    root.add(_group_controller(), "groupsnap", "g", "group", "group-controller")
    root.add(_metadata(), "metadata", "snapshot-metadata")
    root.add(_controller(), "controller", "c")
    root.add(_identity(), "identity", "i", "ident")
    root.add(_node(), "node", "n")


def _controller() -> VerbGroup:
    group = VerbGroup(help="The verbs of the controller service, by csc's names.")
    group.add(volumes.create_volume, "create-volume", "n", "c", "new", "create")
    group.add(volumes.delete_volume, "delete-volume", "d", "rm", "del", "delete")
    group.add(volumes.list_volumes, "list-volumes", "ls", "list", "volumes")
    group.add(volumes.get_volume, "get-volume", "get")
    group.add(volumes.expand_volume, "expand-volume", "exp", "expand")
    group.add(volumes.modify_volume, "modify-volume", "modify")
    group.add(volumes.validate_volume, "validate-volume-capabilities", "validate")
    group.add(volumes.get_capacity, "get-capacity", "capacity")
    group.add(attachments.publish_volume, "publish", "att", "attach")
    group.add(attachments.unpublish_volume, "unpublish", "det", "detach")
    group.add(snapshots.create_snapshot, "create-snapshot", "s", "snap")
    group.add(snapshots.delete_snapshot, "delete-snapshot", "ds", "delsnap", "rmsnap")
    group.add(snapshots.list_snapshots, "list-snapshots", "sl", "snap-list", "snapshots")
    group.add(snapshots.get_snapshot, "get-snapshot", "getsnap")
    group.add(health.volume_health, "volume-health", "health")
    group.add(identity.controller_capabilities, "get-capabilities", "capabilities", "caps")
    return group


def _identity() -> VerbGroup:
    group = VerbGroup(help="The verbs of the identity service, by csc's names.")
    group.add(identity.plugin_info, "plugin-info", "info")
    group.add(identity.plugin_capabilities, "plugin-capabilities", "caps")
    group.add(identity.probe, "probe")
    return group


def _node() -> VerbGroup:
    group = VerbGroup(help="The verbs of the node service, by csc's names.")
    group.add(nodes.stage_volume, "stage")
    group.add(nodes.unstage_volume, "unstage")
    group.add(nodes.publish_volume, "publish", "mnt", "mount")
    group.add(nodes.unpublish_volume, "unpublish", "umount", "unmount")
    group.add(nodes.expand_volume, "expand-volume", "exp", "expand")
    group.add(nodes.volume_stats, "stats")
    group.add(health.node_volume_health, "volume-health", "health")
    group.add(health.storage_health, "storage-health")
    group.add(nodes.node_info, "get-info", "info")
    group.add(identity.node_capabilities, "get-capabilities", "capabilities", "caps")
    return group


def _group_controller() -> VerbGroup:
    group = VerbGroup(help="The verbs of group snapshots.")
    group.add(groups.create_group, "new", "n", "create", "create-volume-group-snapshot")
    group.add(groups.get_group, "get", "get-volume-group-snapshot")
    group.add(groups.delete_group, "rm", "d", "del", "delete", "delete-volume-group-snapshot")
    group.add(identity.group_capabilities, "get-capabilities", "capabilities", "caps")
    return group


def _metadata() -> VerbGroup:
    group = VerbGroup(help="The verbs of snapshots' blocks.")
    group.add(metadata.allocated, "allocated", "get-metadata-allocated")
    group.add(metadata.delta, "delta", "get-metadata-delta")
    return group
