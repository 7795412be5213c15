"""Volumes of the driver rbd are made, found, listed and removed, on a real cluster."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ceph_daemons import clean_environ
from ceph_parts import CephCluster
from rbd_parts import MIB, READERS, Host, hidden, outcome, run_script, together, write
from rexray.errors import AlreadyExists, Forbidden, InUse, InvalidRequest, NotFound, NotReady, OutOfRange
from rexray.mixins import (
    Clone,
    Encrypted,
    Expand,
    HasCapacity,
    HasPolicy,
    Modify,
    ReadOnlyAttach,
    Rollback,
    Snapshots,
    Topology,
    VolumeHealth,
)
from rexray.types import AttachmentState
from rexray_driver_ceph.building import hidden_prefix
from rexray_driver_ceph.names import Pool, Spec, image_name
from rexray_driver_ceph.sizes import LARGEST
from rexray_driver_ceph.storage import RbdStorage

pytestmark = pytest.mark.needs("ceph")

NAMES = [
    "data",
    "bad.name",
    "a" * 96,
    "x" * 128,
    "Größe 数据 ☃",
    "me@home",
    "-rf",
    " blank ",
    "rexray-0",
    "rexray-making-x",
    "$(reboot);`x`",
    "--size=1",
    "name'\"\\",
    ".hidden",
    "..x",
    "%s%n",
    "rbd_directory",
]


def test_it_can_all_that_ceph_can() -> None:
    for capability in (
        Clone,
        Encrypted,
        Expand,
        HasCapacity,
        HasPolicy,
        Modify,
        ReadOnlyAttach,
        Rollback,
        Snapshots,
        VolumeHealth,
    ):
        assert issubclass(RbdStorage, capability), capability
    assert not issubclass(RbdStorage, Topology)


def test_a_volume_is_what_was_asked_for(each: Host) -> None:
    made = each.create("data", 9, iops=200)
    assert (made.id, made.name, made.size_bytes, made.type, made.iops) == ("rbd/data", "data", 9 * MIB, "rbd", 200)
    assert (made.state, made.attachments, made.encrypted) == (AttachmentState.AVAILABLE, (), False)
    found = each.get("rbd/data")
    assert found.created is not None
    assert abs(found.created.timestamp() - time.time()) < 60
    assert found.fields["image"]
    for field in ("id", "name", "size_bytes", "type", "iops", "state", "attachments"):
        assert getattr(found, field) == getattr(made, field), field
    assert [each.get(name) for name in ("data", "rbd.data")] == [found, found]
    assert each.named("data") == each.ids() == ["rbd/data"]


def test_a_moment_is_the_same_in_any_zone_of_the_process(cluster: CephCluster, reader: str) -> None:
    Host(cluster.conf).create()
    script = (
        "import sys; from pathlib import Path; from rbd_parts import Host, READERS;"
        "print(Host(Path(sys.argv[1]), reader=READERS[sys.argv[2]]).get().created.timestamp())"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(
        [*command, str(cluster.conf), reader],
        env=clean_environ(PYTHONPATH=str(Path(__file__).parent), TZ="Pacific/Auckland"),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert abs(float(ended.stdout) - time.time()) < 60


def test_names_of_every_kind_are_kept_and_found(cluster: CephCluster, host: Host) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda name: host.create(name, 1), NAMES))
    assert [volume.name for volume in made] == NAMES
    listed = {volume.name: volume.id for volume in host.storage.volumes()}
    assert listed == {volume.name: volume.id for volume in made}
    without = Host(cluster.conf, reader=READERS["programs"])
    assert {volume.name: volume.id for volume in without.storage.volumes()} == listed
    for name in NAMES:
        assert host.named(name) == [listed[name]]
    for name in NAMES[4:7]:
        assert without.named(name) == [listed[name]]
        assert without.get(listed[name]).name == name
        assert host.create(name, 1).id == listed[name]
        host.remove(listed[name])
        assert host.named(name) == []


def test_what_is_no_id_is_refused(tmp_path: Path) -> None:
    host = Host(tmp_path / "nowhere", register=False)  # no cluster is asked
    words = ("", "@", "a@", "a/b/c/d", "/x", "x/", "rbd/a\nb", "a//b", "--keyring=x/y", "rbd/\0", "a@b@c")
    for volume in (*words, f"rbd/{'x' * 2042}"):
        for call in (host.get, host.remove, host.attach, host.detach):
            with pytest.raises(InvalidRequest):
                call(volume)


def test_a_hidden_image_is_no_volume(cluster: CephCluster, host: Host) -> None:
    cluster.rbd("create", "rexray-making-x", "--size", "1M")
    assert host.ids() == host.named("rexray-making-x") == []
    for call in (host.get, host.attach, lambda volume: host.expand(volume, 2)):
        with pytest.raises(NotFound):
            call("rbd/rexray-making-x")
    host.remove("rbd/rexray-making-x")
    assert cluster.rbd("ls").split() == ["rexray-making-x"]


def test_creating_twice_is_creating_once(host: Host) -> None:
    first = host.create("data", 8)
    assert host.create("data", 8).id == first.id
    assert host.create("data", 0).size_bytes == 8 * MIB
    assert host.create("data", 0, size_bytes=8 * MIB - 1).size_bytes == 8 * MIB
    for differs, said in (
        ({"mib": 9}, "with 8388608 bytes, and was asked for with 9437184"),
        ({"mib": 0, "limit_bytes": MIB}, "at most 1048576"),
        ({"source_snapshot": "rbd/x@s"}, "made of nothing, and was asked for of rbd/x@s"),
        ({"encrypted": True}, "not encrypted"),
    ):
        with pytest.raises(AlreadyExists, match=said):
            host.create("data", **differs)
    assert host.ids() == ["rbd/data"]


def test_another_name_that_leads_to_the_same_image_is_refused(cluster: CephCluster, host: Host) -> None:
    host.create("data", 1)
    with pytest.raises(AlreadyExists, match="which is volume 'data'"):
        host.create("rbd.data", 1)


def test_sizes_are_whole_mib_between_one_and_what_a_cluster_can_have(host: Host) -> None:
    assert host.create("least", size_bytes=1).size_bytes == MIB
    assert host.create("odd", size_bytes=3 * MIB + 1).size_bytes == 4 * MIB
    assert host.create("default", 0).size_bytes == 1 << 30
    assert host.create("huge", size_bytes=1 << 44).size_bytes == 1 << 44
    for size, limit in ((3 * MIB + 1, 3 * MIB + 2), (LARGEST + 1, 0), (1 << 70, 0), (0, MIB)):
        with pytest.raises(OutOfRange, match="'other'"):
            host.create("other", size_bytes=size, limit_bytes=limit)
    assert host.create("exact", size_bytes=3 * MIB, limit_bytes=3 * MIB).size_bytes == 3 * MIB
    assert host.named("other") == []


def test_a_zone_is_refused(host: Host) -> None:
    with pytest.raises(InvalidRequest, match="zone 'a'"):
        host.create(zone="a")


def test_image_features_are_the_settings(cluster: CephCluster) -> None:
    host = Host(cluster.conf, image_features=("layering", "exclusive-lock"))
    host.create("v")
    host.clone("w", "v")
    for volume in ("rbd/v", "rbd/w"):
        assert set(host.get(volume).fields["features"].split()) - {"operations"} == {"exclusive-lock", "layering"}


def test_removing_twice_is_removing_once(each: Host) -> None:
    each.create()
    each.remove()
    each.remove()
    assert each.ids() == []
    with pytest.raises(NotFound, match="'rbd/v' does not exist"):
        each.get()


def test_removing_is_refused_while_it_is_attached_or_has_snapshots(host: Host) -> None:
    host.create()
    host.attach()
    with pytest.raises(InUse, match="attached to 'h1'"):
        host.remove()
    with pytest.raises(InUse):
        host.remove(force=True)
    host.detach()
    host.snap("one")
    with pytest.raises(InUse, match=r"1 snapshots \('rbd/v@one'"):
        host.remove()
    host.remove_snap("rbd/v@one")
    host.remove()
    assert host.ids() == []


def test_pools_and_namespaces(cluster: CephCluster) -> None:
    for pool in ("fast", ".rgw.root", "odd pool"):
        cluster.create_pool(pool)
    cluster.create_pool("buckets", rbd=False)
    cluster.rbd("namespace", "create", "fast/tenant")
    host = Host(cluster.conf)
    assert host.create("fast.data", 1).id == "fast/data"
    assert host.create("fast.my data", 1).id == f"fast/{image_name('my data')}"
    assert host.create("other", 1, type="fast/tenant").id == "fast/tenant/other"
    assert host.create("fast.deep", 1, type="fast/tenant").id == f"fast/tenant/{image_name('fast.deep')}"
    assert host.create("buckets.data", 1).id == "rbd/buckets.data"
    assert host.create("nopool.data", 1).id == "rbd/nopool.data"
    cluster.rbd("create", ".rgw.root/img", "--size", "1M")
    cluster.rbd("create", "odd pool/img", "--size", "1M")
    cluster.rbd("create", "fast/tenant/foreign", "--size", "1M")
    listed = {volume.name: volume.id for volume in host.storage.volumes()}
    assert listed == {
        "fast.data": "fast/data",
        "fast.my data": f"fast/{image_name('my data')}",
        "other": "fast/tenant/other",
        "fast.deep": f"fast/tenant/{image_name('fast.deep')}",
        "buckets.data": "rbd/buckets.data",
        "nopool.data": "rbd/nopool.data",
        ".rgw.root.img": ".rgw.root/img",
        "odd pool.img": "odd pool/img",
        "fast.tenant.foreign": "fast/tenant/foreign",
    }
    for name, volume in listed.items():
        assert host.named(name) == [volume]
        assert host.get(volume).name == name
    without = Host(cluster.conf, reader=READERS["programs"])
    assert {volume.name: volume.id for volume in without.storage.volumes()} == listed
    assert without.named("fast.tenant.foreign") == ["fast/tenant/foreign"]
    for gone in ("fast/data", "fast/tenant/other", "fast/tenant/" + image_name("fast.deep")):
        host.remove(gone)
        host.remove(gone)
    assert "fast/tenant/other" not in host.ids()


def test_the_default_pool_may_be_a_namespace(cluster: CephCluster) -> None:
    cluster.rbd("namespace", "create", "rbd/tenant")
    host = Host(cluster.conf, default_pool="rbd/tenant", pools=("rbd/tenant",))
    assert host.create("data", 1).id == "rbd/tenant/data"
    assert host.clone("twin", "data").id == "rbd/tenant/twin"
    assert host.snap("s", "data").id == "rbd/tenant/data@s"
    assert host.attach("data").token == "rbd/tenant/data"
    assert host.named("data") == ["rbd/tenant/data"]
    assert host.ids() == ["rbd/tenant/data", "rbd/tenant/twin"]
    assert host.snaps() == ["rbd/tenant/data@s"]
    assert [instance.id for instance in host.storage.instances()] == ["h1"]
    for reader in READERS.values():
        everything = Host(cluster.conf, reader=reader)
        assert everything.named("data") == ["rbd/tenant/data"]
        assert everything.holders("rbd/tenant/data") == ["h1"]
        assert everything.snaps() == ["rbd/tenant/data@s"]


def test_only_the_pools_that_were_named_are_seen(cluster: CephCluster, reader: str) -> None:
    cluster.create_pool("fast")
    cluster.create_pool("slow")
    for pool in ("rbd", "fast", "slow"):
        cluster.rbd("create", f"{pool}/img", "--size", "1M")
    host = Host(cluster.conf, reader=READERS[reader], pools=("fast",))
    assert host.ids() == ["fast/img", "rbd/img"]
    assert host.named("slow.img") == []
    assert Host(cluster.conf, reader=READERS[reader], user="admin").ids() == ["rbd/img"]


def test_images_of_strangers_are_volumes_that_are_not_removed(cluster: CephCluster, host: Host) -> None:
    for image in ("bad.name", "my image", "rbd/-dash", "Zürich"):
        cluster.rbd("create", image, "--size", "4M")
    cluster.rbd("image-meta", "set", "bad.name", "rexray", "not ours")
    ids = ["rbd/-dash", "rbd/Zürich", "rbd/bad.name", "rbd/my image"]
    for reader in READERS.values():
        one = Host(cluster.conf, reader=reader)
        assert one.ids() == ids
        for volume in ids:
            found = one.get(volume)
            assert (found.id, found.name, found.size_bytes) == (volume, volume.removeprefix("rbd/"), 4 * MIB)
    for volume in ids:
        assert host.named(volume.removeprefix("rbd/")) == [volume]
        with pytest.raises(Forbidden, match=r"REX-Ray did not make image.*rbd.removeForeign"):
            host.remove(volume)
    host.attach("rbd/my image")
    assert host.holders("rbd/my image") == ["h1"]
    host.detach("rbd/my image")
    host.expand("rbd/my image", 5)
    with pytest.raises(AlreadyExists, match="REX-Ray did not make"):
        host.create("bad.name", 5)
    allowed = Host(cluster.conf, remove_foreign=True)
    for volume in ids:
        allowed.remove(volume)
    assert host.ids() == []


def test_names_that_are_no_text_do_not_break_the_list(cluster: CephCluster, each: Host) -> None:
    each.create("data", 1)
    for name in (b"raw\xff", b"line\nbreak", b"bell\a"):
        command = [b"rbd", b"--conf", bytes(cluster.conf), b"create", name, b"--size", b"1M"]
        subprocess.run(command, check=True, timeout=30, env=clean_environ())
    command = [b"rbd", b"--conf", bytes(cluster.conf), b"image-meta", b"set", b"data", b"key", b"\xff"]
    subprocess.run(command, check=True, timeout=30, env=clean_environ(), stdout=subprocess.DEVNULL)
    assert each.ids() == ["rbd/data"]
    assert each.get("rbd/data").name == "data"
    assert each.snaps() == []
    assert each.create("data", 1).id == "rbd/data"


def test_copies_that_rbd_makes_of_our_images_are_strangers(cluster: CephCluster, host: Host) -> None:
    host.create("ours", 4)
    host.snap("s", "rbd/ours")
    cluster.rbd("clone", "--rbd-default-clone-format", "2", "ours@s", "cloned")
    cluster.rbd("cp", "--no-progress", "ours", "copied")
    cluster.rbd("deep", "cp", "--no-progress", "ours", "deep")
    cluster.rbd("rename", "copied", "renamed")
    for image in ("cloned", "renamed", "deep"):
        assert "rexray" in cluster.json("image-meta", "list", image, program="rbd")
        assert host.get(image).name == image
        with pytest.raises(Forbidden):
            host.remove(image)
    assert sorted(host.snaps()) == ["rbd/deep@s", "rbd/ours@s"]
    with pytest.raises(InUse, match="did not take snapshot"):
        host.remove_snap("rbd/deep@s")
    host.remove_snap("rbd/ours@s")
    host.remove("rbd/ours")
    assert host.get("rbd/cloned").fields["parent"]


def test_clones_have_what_the_source_had_at_that_moment(cluster: CephCluster, host: Host) -> None:
    host.create("one", 4)
    write(cluster, "rbd/one", b"before")
    host.snap("s", "rbd/one")
    write(cluster, "rbd/one", b"after!")
    host.expand("rbd/one", 9)
    sizes = {
        "now": host.clone("now", "rbd/one").size_bytes,
        "then": host.restore("then", "rbd/one@s").size_bytes,
        "between": host.restore("between", "rbd/one@s", 6).size_bytes,
        "large": host.clone("large", "one", 12).size_bytes,
    }
    assert sizes == {"now": 9 * MIB, "then": 4 * MIB, "between": 6 * MIB, "large": 12 * MIB}
    for name, size in sizes.items():
        assert host.get(name).size_bytes == size, name
        content = cluster.rbd("export", "--no-progress", f"rbd/{name}", "-")[:6]
        assert content == ("after!" if name in ("now", "large") else "before"), name
    assert host.clone("now", "one").id == "rbd/now"
    assert hidden(cluster) == []
    assert host.snaps() == ["rbd/one@s"]
    with pytest.raises(OutOfRange, match="has 9437184 bytes, more than asked for"):
        host.clone("small", "one", 8)
    with pytest.raises(AlreadyExists, match="made of rbd/one, and was asked for of rbd/one@s"):
        host.restore("now", "rbd/one@s")
    with pytest.raises(AlreadyExists, match="made of rbd/one, and was asked for of nothing"):
        host.create("now", 9)
    for source in ("rbd/none", "rbd/one@none"):
        with pytest.raises(NotFound, match="its source"):
            host.restore("x", source)
    assert hidden(cluster) == []


def test_a_clone_does_not_inherit_limits(cluster: CephCluster, host: Host) -> None:
    host.create("slow", 1, iops=100)
    host.modify("rbd/slow", bandwidth="1000000")
    host.clone("free", "slow")
    host.clone("other", "slow", iops=300)
    assert [host.get(volume).iops for volume in ("slow", "free", "other")] == [100, 0, 300]
    assert "1000000" not in cluster.rbd("image-meta", "list", "free")


def test_a_parent_that_is_removed_stays_until_its_last_clone_is_gone(cluster: CephCluster, host: Host) -> None:
    host.create("parent", 4)
    write(cluster, "rbd/parent", b"kept")
    host.snap("s", "parent")
    host.clone("child", "parent")
    host.restore("other", "rbd/parent@s")
    host.remove_snap("rbd/parent@s")
    host.remove("parent")
    assert host.ids() == ["rbd/child", "rbd/other"]
    assert host.named("parent") == []
    assert cluster.rbd("export", "--no-progress", "rbd/child", "-")[:4] == "kept"
    assert host.create("parent", 2).size_bytes == 2 * MIB
    host.snap("again", "rbd/child")
    host.restore("grandchild", "rbd/child@again")
    host.remove_snap("rbd/child@again")
    host.remove("child")
    assert cluster.rbd("export", "--no-progress", "rbd/grandchild", "-")[:4] == "kept"
    for volume in ("other", "grandchild", "parent"):
        host.remove(volume)
    assert host.ids() == []
    objects = set(cluster.rados("--pool", "rbd", "ls").split())
    assert not [name for name in objects if name.startswith(("rbd_header", "rbd_data", "rbd_id"))], objects


def test_an_encrypted_volume_has_its_header_and_so_have_its_clones(cluster: CephCluster, tmp_path: Path) -> None:
    host = Host(cluster.conf, key_directory=str(tmp_path))
    with pytest.raises(NotReady, match="passphrase"):
        host.create("secret", encrypted=True)
    assert (host.ids(), hidden(cluster)) == ([], [])
    for name in ("default", "other"):
        (tmp_path / name).write_text(f"passphrase {name}")
        (tmp_path / name).chmod(0o600)
    made = host.create("secret", 8, encrypted=True)
    assert (made.encrypted, made.size_bytes) == (True, 8 * MIB)
    assert host.create("secret", 8, encrypted=True).id == made.id
    assert cluster.json("info", "secret", program="rbd")["size"] == 24 * MIB
    assert cluster.rbd("export", "--no-progress", "rbd/secret", "-")[:4] == "LUKS"
    with pytest.raises(AlreadyExists, match="another key"):
        host.create("secret", 8, encrypted=True, encryption_key="other")
    fields = host.attach("secret").fields
    assert (fields["encryption"], fields["sizeBytes"]) == ("luks2", str(8 * MIB))
    clone = host.clone("twin", "secret", 10)
    assert (clone.encrypted, clone.size_bytes, host.get("twin").size_bytes) == (True, 10 * MIB, 10 * MIB)
    assert cluster.rbd("export", "--no-progress", "rbd/twin", "-")[:4] == "LUKS"
    assert host.expand("rbd/twin", 11).size_bytes == 11 * MIB
    assert host.snap("s", "rbd/twin").size_bytes == 11 * MIB
    assert host.restore("third", "rbd/twin@s", encrypted=True).size_bytes == 11 * MIB
    with pytest.raises(InvalidRequest, match="key of its source"):
        host.clone("fourth", "secret", encryption_key="other")
    host.create("plain", 1)
    with pytest.raises(InvalidRequest, match="is not encrypted"):
        host.clone("fourth", "plain", encrypted=True)


def test_threads_that_make_one_volume_make_one(cluster: CephCluster, host: Host) -> None:
    host.create("source", 4)
    hosts = [Host(cluster.conf, register=False) for _ in range(3)]
    ids = together(lambda one: one.create("data", 2, iops=100).id, hosts)
    assert ids == ["rbd/data"] * 3
    ids = together(lambda one: one.clone("clone", "source", 7).id, hosts)
    assert ids == ["rbd/clone"] * 3
    assert host.ids() == ["rbd/clone", "rbd/data", "rbd/source"]
    assert (host.get("rbd/data").iops, host.get("rbd/clone").size_bytes) == (100, 7 * MIB)
    assert hidden(cluster) == []


def test_processes_that_make_one_volume_make_one(cluster: CephCluster, host: Host) -> None:
    host.create("source", 4)
    script = (
        "import sys; from pathlib import Path; from rbd_parts import Host;"
        "host = Host(Path(sys.argv[1]), register=False);"
        "print(host.create('data', 2).id, host.clone('clone', 'source', 7).id)"
    )
    for ended in run_script(script, cluster.conf, count=3):
        assert ended.output == "rbd/data rbd/clone\n", ended.errors
    assert host.ids() == ["rbd/clone", "rbd/data", "rbd/source"]
    assert host.get("rbd/clone").size_bytes == 7 * MIB
    assert hidden(cluster) == []


def test_threads_that_make_different_volumes_of_one_name_make_one(cluster: CephCluster, host: Host) -> None:
    hosts = [Host(cluster.conf, register=False) for _ in range(4)]
    sizes = dict(zip((2, 3, 4, 5), hosts, strict=True))
    ended = together(lambda mib: outcome(lambda: sizes[mib].create("data", mib)), sizes)
    assert sorted(ended) == ["AlreadyExists"] * 3 + ["ok"]
    assert host.get("data").size_bytes == list(sizes)[ended.index("ok")] * MIB
    assert hidden(cluster) == []


def test_a_rename_that_was_cut_short_is_finished(cluster: CephCluster, host: Host, tmp_path: Path) -> None:
    host.create("data", 1)
    write(cluster, "rbd/data", b"kept")
    making = hidden_prefix(Spec(Pool("rbd"), "data")) + "0"
    cluster.rados("--pool", "rbd", "get", "rbd_id.data", str(tmp_path / "id"))
    cluster.rbd("rename", "data", making)
    cluster.rados("--pool", "rbd", "put", "rbd_id.data", str(tmp_path / "id"))
    assert (host.ids(), len(hidden(cluster))) == ([], 1)
    assert host.create("data", 1).id == "rbd/data"
    assert (host.ids(), hidden(cluster)) == (["rbd/data"], [])
    assert cluster.rbd("export", "--no-progress", "rbd/data", "-")[:4] == "kept"
