"""The bench on which interop cases run: one booted guest for many cases, and the reports.

A case is a function of the bench. It raises when something is not as expected; what the bench and
the case know (the guest's console and counters, our log and counters) is then attached.
"""

import importlib
import json
import pathlib
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Callable

from guest import Guest
from linux import Place
from ours import GUEST_MAC, WAN_MAC, Box, build_dir  # noqa: F401

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
GROUPS = ("peer", "macsec", "esp", "both", "mka", "vhost")


class Mismatch(AssertionError):
    """Something was not as the case expects."""


def expect(found, wanted, what):
    if found != wanted:
        raise Mismatch(f"{what}: found {found!r}, expected {wanted!r}")


def wait_for(condition, what, timeout=30, interval=0.05):
    """Polls `condition` until it returns something true, which is returned."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Mismatch(f"{what}: not within {timeout} s")
        time.sleep(interval)


@dataclass
class Case:
    """`proves` says in a few words against what and what; it becomes a line of docs/interop.md."""
    name: str
    group: str
    proves: str
    function: Callable
    shares: str = ""  # name of a set-up that the next case of the same name goes on with
    vhost_user: bool = False  # our port to the guest is one; else a TAP


def load_cases():
    found = []
    for group in GROUPS:
        found += importlib.import_module(f"cases.{group}").cases()
    names = [case.name for case in found]
    doubles = {name for name in names if names.count(name) > 1}
    if doubles:
        raise RuntimeError(f"cases of the same name: {sorted(doubles)}")
    return found


class Bench:
    """What cases share. The guest is booted when the first case asks for it."""

    def __init__(self):
        self._vhost_user = False
        self._guest = None
        self._box = None
        self._shared, self.shared_name = None, ""
        self.on_failure = []  # functions that return text to attach
        self.rekeys = None  # how many a case is to make, if not its own number

    @property
    def guest(self):
        if self._guest is None:
            self._guest = self.make_guest()
            self._guest.start()
            self._guest.check(RESET, timeout=180)
            self.note(f"guest booted in {self._guest.boot_seconds:.1f} s")
        return self._guest

    def make_guest(self):
        """eth0 is at the far end of our box's `wan`."""
        guest = Guest("peer", netns=self.box.box)
        if self._vhost_user:  # boots once our daemon has made the socket, and outlives the daemon
            guest.add_vhost_user(self.box.socket, GUEST_MAC)
        else:
            guest.add_tap("wan", GUEST_MAC)
        return guest

    def attach_by(self, vhost_user):
        """How our box reaches the guest. Another way takes another guest."""
        if vhost_user != self._vhost_user:
            self.close()
            self._vhost_user = vhost_user

    @property
    def box(self):
        if self._box is None:
            self._box = Box(self._vhost_user)
        return self._box

    def start(self, lines, wan_mtu, wan_mac=WAN_MAC):
        """Starts sealwired with the lines given, facing the guest; returns the guest's place."""
        if not self._vhost_user:
            self.guest  # boots first, for a TAP that nobody reads loses what we send
        self.box.start(lines, wan_mtu, wan_mac)
        return Place(self.guest)

    @staticmethod
    def note(text):
        print(f"  {text}", flush=True)

    def charon(self, place, number, local, remote, local_subnet, remote_subnet, options=""):
        """Starts strongSwan in `place` with a pre-shared key and loads one connection `site`."""
        guest = place.guest
        vici = f"unix:///tmp/charon-{number}.vici"
        guest.put(f"/tmp/charon-{number}.conf", CHARON_CONF.format(vici=vici, number=number))
        guest.check(f"mkdir -p /tmp/swanctl-{number}")
        guest.put(f"/tmp/swanctl-{number}/swanctl.conf", SWANCTL_CONF.format(
            local=local, remote=remote, local_subnet=local_subnet, remote_subnet=remote_subnet, options=options))
        # Its own /run: charon refuses a second daemon by its pid file.
        enter = place.inside or "unshare -m "
        guest.spawn(f"exec {enter}bash -c 'mount -t tmpfs run /run && STRONGSWAN_CONF=/tmp/charon-{number}.conf "
                    "exec /usr/lib/ipsec/charon'", f"/tmp/charon-{number}.out")
        self.on_failure.append(lambda: guest.run(f"tail -40 /tmp/charon-{number}.log")[1])
        guest.wait_until(f"swanctl --load-all --uri {vici} --file /tmp/swanctl-{number}/swanctl.conf --noprompt", 60, 0.5)
        return vici

    def shared(self, name, make):
        """The set-up of that name: made by the first case that asks, kept for those after it."""
        if self.shared_name != name:
            self._shared = make()
            self.shared_name = name
        return self._shared

    def reset(self):
        """Takes away all that a case left in the guest."""
        self.on_failure = []
        self.shared_name, self._shared = "", None
        if self._box is not None:
            self._box.stop()
        if self._guest is not None:
            self._guest.check(RESET, timeout=180)

    def close(self):
        if self._guest is not None:
            self._guest.stop()
            self._guest = None
        if self._box is not None:
            self._box.close()
            self._box = None

    def evidence(self):
        parts = []
        for source in self.on_failure:
            parts.append(attempt(source))
        if self._box is not None:
            parts.append(attempt(self._box.evidence))
        if self._guest is not None:
            guest = Place(self._guest)
            for command in ("; ".join(f"for n in $(ip netns list | cut -d' ' -f1); do echo \"[$n]\"; "
                                      f"ip netns exec $n {look}; done; {look}" for look in
                                      ("ip -s macsec show", "ip -s xfrm state", "grep -v '\\b0$' /proc/net/xfrm_stat",
                                       "ip -s -br link")), "dmesg | tail -30"):
                parts.append(f"--- guest: {command}\n" + attempt(lambda command=command: guest.run(command)[1]))
            parts.append(attempt(self._guest.report) if not self._guest.alive() else "")
        return "\n".join(parts)


# Only the plugins that are used: each one costs time at start.
CHARON_CONF = """charon {{
  load = random nonce openssl aes sha1 sha2 hmac kdf gcm kernel-netlink socket-default vici updown
  install_routes = no
  plugins {{
    vici {{
      socket = {vici}
    }}
  }}
  filelog {{
    file {{
      path = /tmp/charon-{number}.log
      default = 1
    }}
  }}
}}
"""

SWANCTL_CONF = """connections {{
  site {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes256gcm16-prfsha256-ecp256
    {options}
    local {{
      auth = psk
    }}
    remote {{
      auth = psk
    }}
    children {{
      site {{
        local_ts = {local_subnet}
        remote_ts = {remote_subnet}
        esp_proposals = aes256gcm16-esn
      }}
    }}
  }}
}}
secrets {{
  ike {{
    secret = "of this lab only"
  }}
}}
"""

# Everything a case may have made: processes (all but the agent and kernel threads), namespaces, devices, SAs.
RESET = r"""
for d in /proc/[0-9]*; do
  p=${d#/proc/}
  line=
  read -r -d '' line 2>/dev/null <$d/cmdline
  [ "$p" != 1 ] && [ "$p" != $$ ] && [ -n "$line" ] && kill -9 $p 2>/dev/null
done
for n in $(ip netns list | cut -d' ' -f1); do ip netns del $n; done
ip xfrm state flush; ip xfrm policy flush
# No IPv6 of its own: a case that wants it says so.
sysctl -qw net.ipv6.conf.default.disable_ipv6=1
for l in $(ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/\1/'); do
  case $l in
    lo) ip addr flush dev lo scope global ;;
    eth*) tc qdisc del dev $l root 2>/dev/null; tc qdisc del dev $l clsact 2>/dev/null
      ip addr flush dev $l; ip link set $l down promisc off mtu 1500; sysctl -qw net.ipv6.conf.$l.disable_ipv6=1 ;;
    *) ip link del $l 2>/dev/null ;;
  esac
done
rm -rf /tmp/*
dmesg -C
true
"""


def attempt(function):
    try:
        return function()
    except Exception as error:
        return f"(not to be had: {error})"


def run_cases(chosen, bench, report_path=None, verbose=False):
    """Runs the cases in order on one bench; returns the number of failures."""
    results, failures, peers = [], 0, None
    begin = time.monotonic()
    for case in chosen:
        started = time.monotonic()
        print(f"[ RUN  ] {case.name}", flush=True)
        error = None
        try:
            if not case.shares or case.shares != bench.shared_name:
                bench.attach_by(case.vhost_user)
                bench.reset()
            facts = case.function(bench) or {}
        except Exception:
            error = traceback.format_exc()
            facts = {}
            failures += 1
        seconds = time.monotonic() - started
        if error:
            print(error + bench.evidence(), flush=True)
            bench.shared_name = ""
        print(f"[{'FAILED' if error else '  OK  '}] {case.name} ({seconds:.1f} s)", flush=True)
        results.append({"name": case.name, "group": case.group, "proves": case.proves, "passed": error is None,
                        "seconds": round(seconds, 1), **facts})
        if report_path:  # after every case: a run that is cut short has told what it found
            report_path.parent.mkdir(parents=True, exist_ok=True)
            if error is None:  # else there may be no guest
                peers = peers or versions(bench)
            report_path.write_text(json.dumps({"versions": peers, "cases": results}, indent=1) + "\n")
    print(f"{len(results) - failures} passed, {failures} failed in {time.monotonic() - begin:.0f} s", flush=True)
    return failures


def versions(bench):
    """What the peers say that they are."""
    guest = bench.guest
    return {
        "kernel": guest.check("uname -r -v").strip(),
        "iproute2": guest.check("ip -V").strip(),
        "wpa_supplicant": guest.check("wpa_supplicant -v | head -1").strip(),
        "strongswan": guest.check("swanctl --version 2>&1 | grep -m1 ^strongSwan").strip(),
    }


def main_error(text):
    print(text, file=sys.stderr)
    return 2
