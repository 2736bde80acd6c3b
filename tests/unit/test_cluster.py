"""Clusters from TF_CONFIG and SLURM, and what is said of peers that are not there."""

import json
import socket

import pytest

from inception_tf.commands.launch import free_ports
from inception_tf.errors import PeerLostError, UsageError
from inception_tf.runtime.cluster import ALONE, Cluster, expand_counts, expand_hosts, read_cluster
from inception_tf.runtime.watchdog import await_peers, unreachable

TWO = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


def test_no_variables_is_a_worker_alone():
    assert read_cluster({}) == ALONE and ALONE.is_chief and not ALONE.peers
    assert ALONE.part(8) == (0, 8)


def test_tf_config_round_trips():
    cluster = read_cluster({"TF_CONFIG": json.dumps(TWO)})
    assert cluster == Cluster(("a:1", "b:2"), 1)
    assert not cluster.is_chief and cluster.peers == ("a:1",)
    assert cluster.part(8) == (4, 8)
    assert read_cluster({"TF_CONFIG": cluster.tf_config()}) == cluster


@pytest.mark.parametrize("text, message", [
    ("{", "TF_CONFIG"),
    (json.dumps({"cluster": {"worker": ["a:1"]}}), "'task'"),
    (json.dumps({**TWO, "task": {"type": "worker", "index": 2}}), "task index 2 of 2 workers"),
    (json.dumps({**TWO, "task": {"type": "ps", "index": 0}}), "got ps"),
    (json.dumps({**TWO, "cluster": {"worker": ["a:1"], "chief": ["b:2"]}}), "got chief"),
])
def test_tf_config_of_a_mistake_is_one_line(text, message):
    with pytest.raises(UsageError, match=message):
        read_cluster({"TF_CONFIG": text})


@pytest.mark.parametrize("text, names", [
    ("node7", ["node7"]),
    ("n[01-03,07],gpu5", ["n01", "n02", "n03", "n07", "gpu5"]),
    ("a[9-11]-ib,b", ["a9-ib", "a10-ib", "a11-ib", "b"]),
])
def test_slurm_host_list_expands(text, names):
    assert expand_hosts(text) == names


def test_slurm_counts_expand():
    assert expand_counts("2(x3),1") == [2, 2, 2, 1]
    with pytest.raises(UsageError, match="two"):
        expand_counts("two")


def test_slurm_variables_give_addresses_in_task_order():
    cluster = read_cluster({
        "SLURM_NTASKS": "3", "SLURM_JOB_NODELIST": "cpu[1-2]", "SLURM_TASKS_PER_NODE": "2,1",
        "SLURM_PROCID": "2"})
    assert cluster == Cluster(("cpu1:8470", "cpu1:8471", "cpu2:8470"), 2)


@pytest.mark.parametrize("change, message", [
    ({"SLURM_PROCID": "7"}, "this is task 7"),
    ({"SLURM_TASKS_PER_NODE": "3"}, "2 nodes"),
    ({"SLURM_PROCID": None}, "SLURM_PROCID"),
])
def test_slurm_variables_that_contradict_are_refused(change, message):
    environ = {"SLURM_NTASKS": "3", "SLURM_JOB_NODELIST": "cpu[1-2]",
               "SLURM_TASKS_PER_NODE": "2,1", "SLURM_PROCID": "0"} | change
    with pytest.raises(UsageError, match=message):
        read_cluster({k: v for k, v in environ.items() if v is not None})


def test_unreachable_names_only_those_where_nobody_listens():
    with socket.socket() as listening, socket.socket() as closed:
        for s in (listening, closed):
            s.bind(("127.0.0.1", 0))
        listening.listen()
        here, gone = (f"127.0.0.1:{s.getsockname()[1]}" for s in (listening, closed))
        assert unreachable([here, gone]) == [gone]


def test_await_peers_returns_when_all_answer_and_names_those_that_do_not():
    with socket.socket() as peer:
        peer.bind(("127.0.0.1", 0))
        own, there, gone = free_ports(2)[0], peer.getsockname()[1], free_ports(1)[0]
        peer.listen()
        await_peers(Cluster((f"127.0.0.1:{own}", f"127.0.0.1:{there}"), 0), 5.0)
        workers = tuple(f"127.0.0.1:{port}" for port in (own, there, gone))
        with pytest.raises(PeerLostError, match=f"answers at 127.0.0.1:{gone}$"):
            await_peers(Cluster(workers, 0), 0.5)


def test_await_peers_alone_returns_at_once():
    await_peers(ALONE, 1.0)


def test_await_peers_on_a_port_in_use_is_refused():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}"):
            await_peers(Cluster((f"127.0.0.1:{port}", "127.0.0.1:9"), 0), 1.0)
