"""Clusters from TF_CONFIG and SLURM, and what is said of peers that are not there."""

import json
import socket

import pytest

from inception_tf.commands.launch import free_ports
from inception_tf.errors import PeerLostError, UsageError
from inception_tf.runtime import peers
from inception_tf.runtime.cluster import ALONE, Cluster, expand_counts, expand_hosts, read_cluster
from inception_tf.runtime.peers import await_peers, unreachable

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
    ("[]", "Expected `object`"),
    ("[" * 100_000, "nested too deeply"),
    ('{"cluster": null}', "Expected `object`"),
    (json.dumps({**TWO, "cluster": {"worker": "a:1,b:2"}}), "Expected `array`"),
    (json.dumps({**TWO, "cluster": {"worker": {"0": "a:1"}}}), "Expected `array`"),
    (json.dumps({**TWO, "cluster": {"worker": [1, 2]}}), "Expected `str`"),
    (json.dumps({**TWO, "cluster": {"worker": ["a:1"], "evaluator": ["b:2"]}}), "got evaluator"),
    (json.dumps({**TWO, "task": {"type": "worker"}}), "index"),
    (json.dumps({**TWO, "task": {"type": "worker", "index": None}}), "Expected `int | str`"),
    (json.dumps({**TWO, "task": {"type": "worker", "index": "\u00b2"}}), "task index \u00b2"),
    (json.dumps({**TWO, "task": {"type": "worker", "index": -1}}), "task index -1"),
])
def test_tf_config_of_a_mistake_is_one_line(text, message):
    with pytest.raises(UsageError, match=message) as refused:
        read_cluster({"TF_CONFIG": text})
    assert "\n" not in str(refused.value)


def tf_config_of(*workers, index=0):
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers},
                                     "task": {"type": "worker", "index": index}})}


@pytest.mark.parametrize("address", ["b", "b:", "b:0", "b:99999", "b:abc", "b:\u0663", "", "b :1",
                                     "::1:8470", "[zz]:1", "http://b:1", "b:1\n"])
def test_worker_whose_address_is_no_host_and_port_is_refused(address):
    with pytest.raises(UsageError, match="host:port"):
        read_cluster(tf_config_of("a:1", address))


@pytest.mark.parametrize("one, other", [
    ("a:1", "a:1"), ("a:1", "A.:1"), ("localhost:1", "127.0.0.1:1"), ("127.0.0.1:1", "127.0.0.2:1"),
    ("[::1]:1", "localhost:1"), ("[::ffff:10.0.0.1]:1", "10.0.0.1:1"),
    ("[2001:db8::1]:1", "[2001:DB8:0::1]:1")])
def test_f59_two_workers_of_one_address_are_refused_before_the_cluster_starts(one, other):
    with pytest.raises(UsageError, match="workers 0 and 2 have one address"):
        read_cluster(tf_config_of(one, "c:1", other))


@pytest.mark.parametrize("text", ["{}", '{"cluster": {}}', '{"cluster": {"worker": []}}',
                                  '{"cluster": {"chief": ["a:1"]}, "task": '
                                  '{"type": "chief", "index": 0}}'])
def test_tf_config_without_a_second_process_is_no_cluster(text):
    assert read_cluster({"TF_CONFIG": text}) == ALONE


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_cluster_is_not_read_for_a_strategy_of_one_process(strategy):
    assert read_cluster({"SLURM_NTASKS": "abc"}, strategy) == ALONE
    assert read_cluster(tf_config_of("a:1", "b:1", index=1), strategy) == ALONE


@pytest.mark.parametrize("text, names", [
    ("node7", ["node7"]),
    ("n[01-03,07],gpu5", ["n01", "n02", "n03", "n07", "gpu5"]),
    ("a[9-11]-ib,b", ["a9-ib", "a10-ib", "a11-ib", "b"]),
    ("rack[0-1]_blade[0-1]",
     ["rack0_blade0", "rack0_blade1", "rack1_blade0", "rack1_blade1"]),
    ("a[1-2]b[1,3]c,d[08-10]", ["a1b1c", "a1b3c", "a2b1c", "a2b3c", "d08", "d09", "d10"]),
])
def test_slurm_host_list_expands(text, names):
    assert expand_hosts(text) == names


@pytest.mark.parametrize("text", [
    "n[a-b]", "n[3-1]", "n[1-2", "n1-2]", "n[[1-2]]", "n[]", "n[1,2,]", "n1,,n2", "", "n 1",
    "n[0-999999999]", "n[0-9999]m[0-9999]", "n[" + "1" * 5000 + "]"])
def test_slurm_host_list_of_a_mistake_is_one_line(text):
    with pytest.raises(UsageError, match="host list .* srun"):
        expand_hosts(text)


def test_slurm_counts_expand():
    assert expand_counts("2(x3),1") == [2, 2, 2, 1]
    for text in ("two", "", "1,", "2(x9999999999)"):
        with pytest.raises(UsageError, match="tasks per node"):
            expand_counts(text)


def test_slurm_variables_give_addresses_in_task_order():
    cluster = read_cluster({
        "SLURM_NTASKS": "3", "SLURM_JOB_NODELIST": "cpu[1-2]", "SLURM_TASKS_PER_NODE": "2,1",
        "SLURM_PROCID": "2"})
    assert cluster == Cluster(("cpu1:8470", "cpu1:8471", "cpu2:8470"), 2)


@pytest.mark.parametrize("change, message", [
    ({"SLURM_PROCID": "7"}, "this is task 7"),
    ({"SLURM_TASKS_PER_NODE": "3"}, "2 nodes"),
    ({"SLURM_PROCID": None}, "SLURM_PROCID"),
    ({"SLURM_PROCID": "x"}, "SLURM_PROCID='x' is not a number"),
    ({"SLURM_NTASKS": ""}, "SLURM_NTASKS='' is not a number"),
    ({"SLURM_NTASKS": "abc"}, "SLURM_NTASKS='abc' is not a number"),
    ({"SLURM_TASKS_PER_NODE": "99999,1", "SLURM_JOB_NODELIST": "n1,n2"}, "port of 1 to 65535"),
    ({"SLURM_JOB_NODELIST": "n1,n1"}, "have one address"),
    # The script of sbatch, and the shell of salloc.
    ({"SLURM_JOB_ID": "7"}, "start with srun, or give --strategy=one"),
    ({"SLURM_JOB_ID": "7", "SLURM_PROCID": None}, "start with srun, or give --strategy=one"),
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


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_await_peers_asks_ipv6_addresses_and_answers_at_them():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as peer:
        own, there = free_ports(1)[0], peer.getsockname()[1]
        cluster = Cluster((f"[::1]:{own}", f"[::1]:{there}"), 0)
        await_peers(cluster, 5.0)
        with peers._listening(cluster):
            assert unreachable([f"[::1]:{own}", f"127.0.0.1:{own}"]) == []


def test_await_peers_alone_returns_at_once():
    await_peers(ALONE, 1.0)


def test_await_peers_on_a_port_in_use_is_refused():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}"):
            await_peers(Cluster((f"127.0.0.1:{port}", "127.0.0.1:9"), 0), 1.0)
