"""wpa_supplicant's MKA (the KaY of Debian's package) as a participant inside a guest."""

import re
import time

from guest import GuestError

SETTINGS = """eapol_version=3
ap_scan=0
network={{
    key_mgmt=NONE
    eapol_flags=0
    macsec_policy=1
    macsec_replay_protect=1
    macsec_replay_window=0
    mka_cak={cak}
    mka_ckn={ckn}
    mka_priority={priority}
}}
"""


class WpaSupplicant:
    """One KaY on one device of the guest; `netns` is a namespace inside the guest."""

    def __init__(self, guest, device, cak, ckn, priority, netns=None):
        self.guest = guest
        self.device = device
        self.name = netns or device
        self.inside = f"ip netns exec {netns} " if netns else ""
        self.settings = SETTINGS.format(cak=cak, ckn=ckn, priority=priority)
        self.log_path = f"/tmp/wpa-{self.name}.log"
        self.pid = None

    def start(self):
        path = f"/tmp/wpa-{self.name}.conf"
        self.guest.put(path, self.settings, mode=0o600)
        # -K shows keys in the guest's own log: the tests' keys are made for one run.
        self.pid = self.guest.spawn(f"exec {self.inside}wpa_supplicant -D macsec_linux -i {self.device} "
                                    f"-c {path} -dd -K", self.log_path)
        return self

    def stop(self, name="TERM"):
        if self.pid is not None:
            self.guest.kill(self.pid, name)
            self.guest.wait_until(f"! kill -0 {self.pid} 2>/dev/null", timeout=10)
            self.pid = None

    def wait_for_session(self, timeout=30):
        """Until an SA transmits and one of each peer may be received on the MACsec device."""
        self.guest.wait_until(
            f"{self.inside}ip macsec show | awk '/TXSC/ {{tx = 1}} /RXSC/ {{tx = 0; rx = 1}} "
            "/PN .*state on/ {if (rx) in_sa = 1; else if (tx) out_sa = 1} "
            "END {exit !(in_sa && out_sa)}'", timeout)

    def log(self):
        return self.guest.get(self.log_path).decode(errors="replace")

    def wait_for_new_sak(self, known, timeout=30):
        """Until this participant holds a SAK that is not among `known` (hex)."""
        deadline = time.monotonic() + timeout
        while not set(self.saks()) - set(known):
            if time.monotonic() > deadline:
                raise GuestError(f"{self.name} agreed on no new SAK; log:\n{self.log()[-6000:]}")
            time.sleep(0.3)

    def saks(self):
        """The SAKs seen by this participant, made or unwrapped, in order, as hex."""
        # Only these lines: in a soak the whole log is too long for the guest's console.
        lines = self.guest.run(f"grep -aE 'generated new SAK|AES Key Unwrap of SAK' {self.log_path}")[1]
        found = re.findall(r"(?:generated new SAK|AES Key Unwrap of SAK\.+:?) - hexdump\(len=\d+\): ([0-9a-f ]+)", lines)
        return list(dict.fromkeys(sak.replace(" ", "") for sak in found))
