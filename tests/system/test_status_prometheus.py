# SPDX-License-Identifier: MIT
"""`tapferry status --prometheus`: read by a parser of the format, and by Prometheus' own."""
import subprocess
import unittest

import exposition
import guest_fetch
from command_case import need_command
from status_case import StatusCase

LABELS = ("interface", "user", "kind", "upper")
PREFIX = "tapferry_interface_"


def setUpModule():
    need_command()


class Prometheus(StatusCase):
    def text(self, *arguments, user="root"):
        return self.succeeds("status", "--prometheus", *arguments, user=user).stdout

    def families(self, *arguments, **options):
        return exposition.parse(self.text(*arguments, **options))

    def test_says_what_json_says(self):
        tap, _ = self.held("bridge=br0,queues=2,isolated=on,rate_to=80mbit")
        macvtap, _ = self.held("macvtap=v0", "bob")
        facts = self.status()
        families = self.families()
        for record, user, kind, upper in ((tap, "alice", "bridge", "br0"), (macvtap, "bob", "macvtap", "v0")):
            labels = tuple(zip(LABELS, (record["ifname"], user, kind, upper)))
            one = facts[record["ifname"]]

            def value(name, of=labels):
                return families[PREFIX + name].samples.get(of)
            expected = {"up": 1, "carrier": 1, "queues": one["queues"], "created_timestamp_seconds": one["since"],
                        "locked": 0, "isolated": int(one["isolated"]), "filtered": 0, "persistent": 0,
                        "receive_limit_bytes_per_second": one["rate_to"] and one["rate_to"] // 8,
                        "transmit_limit_bytes_per_second": None}
            self.assertEqual({name: value(name) for name in expected}, expected)
            for direction, key in (("receive", "received"), ("transmit", "sent")):
                for unit in ("bytes", "frames", "errors", "dropped"):
                    # What the kernel itself sends may have come in between.
                    self.assertGreaterEqual(value(f"{direction}_{unit}_total"), one[key][unit])
            info = labels + (("uid", str(one["uid"])), ("mac", one["mac"]), ("rule", one["rule"]))
            self.assertEqual(families[PREFIX + "info"].samples[info], 1)

    def test_every_metric_is_there_for_scrapes_to_come(self):
        nothing = self.families()
        self.assertTrue(all(not family.samples for family in nothing.values()))
        self.held("bridge=br0")
        self.assertEqual(list(self.families()), list(nothing))

    def test_names_are_escaped(self):
        self.box.policy("allow tap=* name=*")
        record, _ = self.held('tap=a"b\\c{}')
        families = self.families(user="alice")
        labels, = families[PREFIX + "up"].samples
        self.assertEqual(dict(labels)["interface"], record["ifname"])
        self.assertEqual(record["ifname"], 'a"b\\c{}')

    def test_prometheus_own_linter_finds_nothing(self):
        try:
            promtool = guest_fetch.ensure("prometheus") / "usr/bin/promtool"
        except guest_fetch.Unavailable as error:
            self.skipTest(str(error))
        self.held("bridge=br0,queues=2,isolated=on,filter=ipv4,rate_to=80mbit")
        self.held("macvtap=v0")
        for text, status in ((self.text(), 0), (self.text().replace("_bytes_total", "_bytes"), 3)):
            done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, status, done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main()
