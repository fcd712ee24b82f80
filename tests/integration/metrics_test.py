"""What servers tell Prometheus: every family is in doc/metrics.md and the reverse, Debian's promtool accepts metrics and
rules, and a real Prometheus reads two mirrors and a tracker and evaluates rules and dashboard.

`metrics_test.py --write` writes the table of doc/metrics.md anew."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from cluster import OK
from group import Group

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
DOCUMENT = os.path.join(TOP, "doc/metrics.md")
RULES = os.path.join(TOP, "contrib/prometheus")
DASHBOARD = os.path.join(TOP, "contrib/grafana/cairn.json")
BEGIN, END = "<!-- families -->\n", "<!-- end -->\n"
WAIT_SECONDS = 30


def fetch(address, path="/metrics"):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def families_of(text):
    """{name: (type, help, labels)}; samples of no family are an error."""
    families, labels = {}, {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, help_text = line.split(" ", 3)
            families[name] = ["", help_text]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            families[name][0] = kind
        else:
            name, inside = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? [-+.e\d]+", line).groups()
            base = next(n for n in (name, re.sub("_(bucket|sum|count)$", "", name)) if n in families)
            found = re.findall(r'([a-z_]+)="(?:[^"\\]|\\.)*"', inside or "")
            labels.setdefault(base, []).extend(x for x in found if x not in labels.get(base, []) and x != "le")
    return {name: (kind, help_text, tuple(labels.get(name, ()))) for name, (kind, help_text) in families.items()}


def value_of(text, name, **labels):
    for line in text.splitlines():
        match = re.fullmatch(re.escape(name) + r"(?:\{(.*)\})? ([-+.e\d]+)", line)
        if match and all(f'{key}="{value}"' in (match[1] or "") for key, value in labels.items()):
            return float(match[2])
    raise AssertionError(f"no sample {name} {labels}")


def read_document():
    with open(DOCUMENT) as file:
        text = file.read()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", text, re.MULTILINE)
    return {name: (kind, what, tuple(re.findall(r"`(\w+)`", labels)), by) for name, kind, labels, by, what in rows}


class Cluster:
    """A tracker and two mirrors, all with HTTP doors, that have stored and answered something."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="cairn-metrics-")
        self.group = Group(self.root, 2, ["--http-listen", "127.0.0.1:0", "--compare-interval", "1s"])
        self.group.tracker.words += ["--http-listen", "127.0.0.1:0"]

    def __enter__(self):
        self.group.__enter__()
        try:
            self.storages = [storage.ready["http"] for storage in self.group.storages]
            self.tracker = self.group.tracker.ready["http_tracker"]
            self.work()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.group.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def cairn(self, *words, code=OK):
        got, out, err = self.group.cairn(*words)
        assert got == code, (words, got, err)
        return out

    def work(self):
        path = os.path.join(self.root, "a.bin")
        with open(path, "wb") as file:
            file.write(b"x" * 5000)
        identity = self.cairn("put", path, "--ack", "all").split("\t")[0]
        self.cairn("get", identity, "-o", os.path.join(self.root, "b.bin"))
        self.cairn("stat", identity)

    def texts(self):
        return [(address, *fetch(address)) for address in [*self.storages, self.tracker]]


def table(cluster):
    storage, tracker = {}, families_of(fetch(cluster.tracker)[0])
    for address in cluster.storages:
        for name, (kind, what, labels) in families_of(fetch(address)[0]).items():
            more = storage.get(name, (kind, what, ()))[2]
            storage[name] = (kind, what, tuple(dict.fromkeys([*more, *labels])))
    rows = {}
    for name in [*storage, *(n for n in tracker if n not in storage)]:
        by = "both" if name in storage and name in tracker else "storage" if name in storage else "tracker"
        kind, what, labels = storage.get(name) or tracker[name]
        rows[name] = (kind, what, labels, by)
    return rows


class MetricsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.__exit__)

    def test_every_family_is_documented_and_every_documented_one_is_told(self):
        self.assertEqual(table(self.cluster), read_document())

    def test_numbers_are_those_of_what_was_done(self):
        texts = [text for _, text, _ in self.cluster.texts()]
        uploads = [value_of(text, "cairn_served_total", verb="upload") for text in texts[:2]]
        self.assertEqual(sorted(uploads), [0, 1])
        origin = texts[uploads.index(1)]
        self.assertEqual(value_of(origin, "cairn_operations_total", kind="upload", result="ok"), 1)
        self.assertEqual(value_of(origin, "cairn_operation_seconds_count", kind="upload"), 1)
        self.assertEqual(value_of(origin, "cairn_content_bytes_total", way="in"), 5000)
        self.assertEqual(sum(value_of(t, "cairn_content_bytes_total", way="out") for t in texts[:2]), 5000)
        self.assertEqual(value_of(origin, "cairn_files"), 1)
        for text in texts[:2]:
            self.assertEqual(value_of(text, "cairn_state", state="running"), 1)
            self.assertEqual(value_of(text, "cairn_peer_lag_records"), 0)
            self.assertGreater(value_of(text, "cairn_mount_commit_seconds_count"), 0)
            self.assertGreater(value_of(text, "cairn_held", kind="fd"), 10)
        self.assertEqual(value_of(texts[2], "cairn_group_running", of="g1"), 2)
        self.assertEqual(value_of(texts[2], "cairn_storage_alive", storage="m002"), 1)
        self.assertGreater(value_of(texts[2], "cairn_tracker_heartbeats_total"), 1)

    def test_the_native_door_tells_the_same_families(self):
        from native_client import Connection
        for storage in self.cluster.group.storages[:1]:
            with storage.connect() as connection:
                text = connection.status_text("metrics")
        self.assertEqual(set(families_of(text)), set(families_of(fetch(self.cluster.storages[0])[0])))
        with Connection(self.cluster.group.tracker_address) as connection:
            text = connection.status_text("metrics")
        self.assertEqual(set(families_of(text)), set(families_of(fetch(self.cluster.tracker)[0])))

    def test_the_answer_is_what_a_scraper_wants_on_every_loop_and_for_head(self):
        for address, _, content_type in self.cluster.texts():
            self.assertEqual(content_type, "text/plain; version=0.0.4; charset=utf-8")
            host, port = address.rsplit(":", 1)
            for _ in range(8):  # connections come to loops as they like
                with socket.create_connection((host, int(port))) as client:
                    client.sendall(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    answer = b"".join(iter(lambda: client.recv(65536), b""))
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n"), answer[:200])

    def test_nothing_is_told_where_that_is_switched_off(self):
        with tempfile.TemporaryDirectory() as root:
            group = Group(root, 1, ["--http-listen", "127.0.0.1:0", "--http-metrics=no"])
            with group, self.assertRaises(urllib.error.HTTPError) as caught:
                fetch(group.storages[0].ready["http"])
            self.assertEqual(caught.exception.code, 404)
            caught.exception.close()


@unittest.skipUnless(shutil.which("promtool") and shutil.which("prometheus"), "Debian's prometheus is not installed")
class PrometheusTest(unittest.TestCase):
    def promtool(self, *words, **more):
        result = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=60, **more)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout + result.stderr

    def test_promtool_accepts_rules_and_they_fire_when_they_should(self):
        self.assertIn("SUCCESS", self.promtool("check", "rules", os.path.join(RULES, "alerts.yml")))
        self.assertIn("SUCCESS", self.promtool("check", "config", os.path.join(RULES, "prometheus.yml")))
        self.assertIn("SUCCESS", self.promtool("test", "rules", "alerts_test.yml", cwd=RULES))
        with open(os.path.join(RULES, "alerts.yml")) as rules, open(os.path.join(RULES, "alerts_test.yml")) as tests:
            alerts, tested = set(re.findall(r"alert: (\w+)", rules.read())), tests.read()
        for alert in alerts:
            self.assertIn(f"- name: {alert}\n", tested)

    def test_a_real_prometheus_reads_all_servers_and_evaluates_rules_and_dashboard(self):
        with Cluster() as cluster, tempfile.TemporaryDirectory(prefix="cairn-prometheus-") as root:
            for _, text, _ in cluster.texts():
                self.promtool("check", "metrics", input=text)
            with Prometheus(root, [*cluster.storages, cluster.tracker]) as prometheus:
                prometheus.wait_for(lambda: self.is_up(prometheus))
                names = {item["metric"]["__name__"] for item in prometheus.query('{__name__=~"cairn_.*"}')}
                for name, (kind, _, labels, _) in read_document().items():
                    self.assertIn(name + "_bucket" if kind == "histogram" else name, names)
                rules = prometheus.ask("rules")["groups"][0]["rules"]
                prometheus.wait_for(lambda: all(r["health"] == "ok" for r in prometheus.ask("rules")["groups"][0]["rules"]))
                self.assertGreaterEqual(len(rules), 19)
                self.check_dashboard(prometheus)

    def is_up(self, prometheus):
        targets = prometheus.ask("targets")["activeTargets"]
        bad = [t["lastError"] for t in targets if t["health"] == "down"]
        self.assertEqual(bad, [])
        return len(targets) == 3 and all(t["health"] == "up" for t in targets)

    def check_dashboard(self, prometheus):
        with open(DASHBOARD) as file:
            panels = json.load(file)["panels"]
        expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
        self.assertGreater(len(expressions), 20)
        for expression in expressions:
            prometheus.query(expression.replace("$instance", ".*").replace("$__rate_interval", "10s"))


class Prometheus:
    def __init__(self, root, targets):
        self.root = root
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.address = "127.0.0.1:%d" % server.getsockname()[1]
        with open(os.path.join(root, "prometheus.yml"), "w") as file:
            json.dump({"global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [os.path.abspath(os.path.join(RULES, "alerts.yml"))],
                "scrape_configs": [{"job_name": "cairn", "static_configs": [{"targets": targets}]}]}, file)

    def __enter__(self):
        self.log = open(os.path.join(self.root, "log"), "wb")
        self.process = subprocess.Popen(["prometheus", f"--config.file={self.root}/prometheus.yml",
            f"--storage.tsdb.path={self.root}/data", f"--web.listen-address={self.address}"], stderr=self.log)
        self.wait_for(self.is_ready)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def is_ready(self):
        try:
            return fetch(self.address, "/-/ready")[0] != ""
        except (OSError, urllib.error.HTTPError):
            return False

    def wait_for(self, condition):
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("Prometheus did not get there")
            time.sleep(0.1)  # a process of its own has no event to offer us

    def ask(self, what):
        answer = json.loads(fetch(self.address, f"/api/v1/{what}")[0])
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression):
        return self.ask("query?" + urllib.parse.urlencode({"query": expression}))["result"]


def write_document():
    with Cluster() as cluster:
        rows = table(cluster)
    lines = "".join(f"| `{name}` | {kind} | {', '.join(f'`{x}`' for x in labels) or '-'} | {by} | {what} |\n"
        for name, (kind, what, labels, by) in rows.items())
    with open(DOCUMENT) as file:
        text = file.read()
    head, rest = text.split(BEGIN)
    with open(DOCUMENT, "w") as file:
        file.write(head + BEGIN + "| family | type | labels | told by | what it is |\n|---|---|---|---|---|\n" + lines + END
            + rest.split(END)[1])


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write_document()
    else:
        unittest.main()
