#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""udev/70-forekey.rules by udev's own parser, on devices of a umockdev testbed: who gets what.

The rules are put where udevadm looks in a mount namespace of the test's own. Where none can be had (a
container), and no udevd runs that would read them, they are put into /run/udev/rules.d and taken away again.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIDO_DESCRIPTOR = "06D0F10901A1010920150026FF007508954081020921150026FF00750895409102C0"
KEYBOARD_DESCRIPTOR = "05010906A101050719E029E71500250175019508810295017508810195067508150025FF0507190029FF8100C0"
USB = "/devices/pci0000:00/0000:00:14.0/usb1/1-3"


def token(vendor, product, descriptor=FIDO_DESCRIPTOR, protocol="00"):
    """A USB device with one HID interface: its description for umockdev, and its hidraw node's path."""
    device = f"{USB}/1-3:1.0/0003:{vendor.upper()}:{product.upper()}.0001"
    node = f"{device}/hidraw/hidraw0"
    return node, f"""\
P: {USB}
N: bus/usb/001/003
E: DEVTYPE=usb_device
E: SUBSYSTEM=usb
A: idVendor={vendor}\\n
A: idProduct={product}\\n

P: {USB}/1-3:1.0
E: DEVTYPE=usb_interface
E: SUBSYSTEM=usb
A: bInterfaceProtocol={protocol}\\n

P: {device}
E: SUBSYSTEM=hid
E: HID_ID=0003:0000{vendor.upper()}:0000{product.upper()}
H: report_descriptor={descriptor}

P: {node}
N: hidraw0
E: DEVNAME=/dev/hidraw0
E: SEQNUM=1
E: MAJOR=240
E: MINOR=0
E: SUBSYSTEM=hidraw
L: device=../../../{device.rsplit('/', 1)[1]}
"""


def tpm(name, subsystem):
    node = f"/devices/platform/tpm/{subsystem}/{name}"
    return node, f"P: {node}\nN: {name}\nE: DEVNAME=/dev/{name}\nE: MAJOR=253\nE: MINOR=65536\nE: SUBSYSTEM={subsystem}\n"


# Runs inside the testbed. udevadm's helper (fido_id) gets the properties of the device as environment
# and nothing else: so the testbed's own variables become properties by a rule.
IN_TESTBED = r"""
for name in LD_PRELOAD UMOCKDEV_DIR; do
  eval value=\$$name
  printf 'ENV{%s}="%s"\n' $name "$value"
done > "$1/00-testbed.rules"
echo 'ENV{SYSTEMD_DEVICE_VERIFY_SYSFS}="0"' >> "$1/00-testbed.rules"
# 60-fido-id.rules again: without the path fido_id looks for the HID device past the testbed.
echo 'SUBSYSTEM=="hidraw", IMPORT{program}="fido_id %S%p"' > "$1/61-testbed.rules"
chmod 644 "$1"/*-testbed.rules
export SYSTEMD_DEVICE_VERIFY_SYSFS=0
chmod -R a+rX "$UMOCKDEV_DIR"
if [ "$(id -u)" = 0 ] && [ -z "$3" ]; then
  # What udevadm would do to device nodes it can't do as nobody; it tells all the same.
  exec setpriv --reuid=65534 --regid=65534 --clear-groups udevadm test "$2"
fi
exec udevadm test "$2"
"""


class Udev:
    """A folder of rules, and how udevadm is made to read it."""

    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="forekey-udev-"))
        self.work.chmod(0o755)
        self.rules = self.work / "rules"
        self.rules.mkdir()
        self.made = None
        namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
        mount = 'mount --bind "$0" /etc/udev/rules.d && exec "$@"'
        self.prefix = [*namespace, "sh", "-c", mount, str(self.rules)]
        if subprocess.run([*self.prefix, "true"], capture_output=True).returncode == 0:
            return
        if os.path.exists("/run/udev/control") or os.geteuid() != 0:
            sys.exit("udev_rules_test: needs a mount namespace, or root where no udevd runs")
        self.prefix = []
        self.rules = pathlib.Path("/run/udev/rules.d")
        self.made = [path for path in (self.rules, self.rules.parent) if not path.exists()]
        self.rules.mkdir(parents=True, exist_ok=True)

    def end(self):
        shutil.rmtree(self.work)
        if self.made is not None:
            for name in ("70-forekey.rules", "00-testbed.rules", "61-testbed.rules"):
                (self.rules / name).unlink(missing_ok=True)
            for path in self.made:
                path.rmdir()

    def test(self, device, rules):
        """What `udevadm test` says about the device, under those rules."""
        path, description = device
        (self.rules / "70-forekey.rules").write_text(rules)
        (self.rules / "70-forekey.rules").chmod(0o644)
        (self.work / "device.umockdev").write_text(description)
        # In a user namespace of its own it has nobody's rights already.
        own_user = "1" if os.geteuid() != 0 else ""
        answer = subprocess.run(
            [*self.prefix, "umockdev-run", "-d", str(self.work / "device.umockdev"), "--", "sh", "-c", IN_TESTBED, "sh",
             str(self.rules), f"/sys{path}", own_user],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return answer.stdout


class RulesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.udev = Udev()
        # A group that every machine has, where the real ones may not exist yet.
        text = (ROOT / "udev/70-forekey.rules").read_text()
        cls.rules = text.replace('GROUP="forekey"', 'GROUP="games"').replace('GROUP="tss"', 'GROUP="disk"')
        cls.groups = {name: f"GROUP {subprocess.check_output(['getent', 'group', name], text=True).split(':')[2]}"
                      for name in ("games", "disk")}

    @classmethod
    def tearDownClass(cls):
        cls.udev.end()

    def ours(self, output):
        """What our file did to the device, and whether a person at the seat is let in at the end."""
        self.assertIn("Reading rules file:", output)
        self.assertIn("70-forekey.rules", output)
        done = re.findall(r"70-forekey\.rules:\d+ (GROUP \d+|MODE \d+)", output)
        return done + re.findall(r"73-seat-late\.rules:\d+ RUN '(uaccess)'", output)

    def given(self, group):
        return [self.groups[group], "MODE 0660", "uaccess"]

    def test_the_file_is_up_to_date(self):
        subprocess.run([ROOT / "udev/generate", "--check"], check=True)

    def test_udev_understands_every_line(self):
        output = self.udev.test(tpm("tpmrm0", "tpmrm"), self.rules)
        self.assertNotRegex(output, r"70-forekey\.rules:\d+.*(Invalid|Unknown|Failed|ignoring)")
        bad = self.udev.test(tpm("tpmrm0", "tpmrm"), self.rules + 'NOSUCHKEY=="1"\n')
        self.assertRegex(bad, r"70-forekey\.rules:\d+ Invalid key 'NOSUCHKEY'")

    def test_listed_tokens_without_a_helping_descriptor(self):
        for line in (ROOT / "udev/tokens.txt").read_text().splitlines():
            if line.startswith("#"):
                continue
            vendor, product = line.split()[0].split(":")
            device = token(vendor, "12ab" if product == "*" else product, descriptor="C0")
            self.assertEqual(self.ours(self.udev.test(device, self.rules)), self.given("games"), line)

    def test_tokens_that_are_not_listed_are_known_by_their_descriptor(self):
        self.assertEqual(self.ours(self.udev.test(token("feed", "f1d0"), self.rules)), self.given("games"))

    def test_other_devices_are_left_alone(self):
        mouse = token("046d", "c077", descriptor="C0")
        self.assertEqual(self.ours(self.udev.test(mouse, self.rules)), [])
        neighbour = token("1050", "0010", descriptor="C0")  # Yubico's, without FIDO
        self.assertEqual(self.ours(self.udev.test(neighbour, self.rules)), [])

    def test_a_tokens_keyboard_is_nobodys(self):
        keyboard = token("1050", "0407", descriptor=KEYBOARD_DESCRIPTOR, protocol="01")
        self.assertEqual(self.ours(self.udev.test(keyboard, self.rules)), [])

    def test_the_tpm(self):
        # For the group alone: who sits at the machine could else reset its lockout where nobody set a password.
        self.assertEqual(self.ours(self.udev.test(tpm("tpmrm0", "tpmrm"), self.rules)),
                         [self.groups["disk"], "MODE 0660"])
        # Not without its resource manager: that takes turns, and cleans up.
        self.assertEqual(self.ours(self.udev.test(tpm("tpm0", "tpm"), self.rules)), [])


if __name__ == "__main__":
    unittest.main()
