# SPDX-License-Identifier: Apache-2.0
"""Our agent and one of our clients as the program of `forekey-conformance client`:

  our_client.py BINARIES [COMMAND OF A DRIVER...]     without a driver: the C++ library
"""
import json
import pathlib
import queue
import shutil
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/interop/clients"), str(ROOT / "tests/campaign")]
from processes import run  # noqa: E402
from world import Process  # noqa: E402


class Client:
    """A token in software, an agent, and a program that makes calls."""

    def __init__(self, binaries, driver):
        self.binaries = pathlib.Path(binaries)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="forekey-o-", dir="/tmp"))
        self.socket = self.root / "agent.sock"
        token = Process([self.binaries / "forekey-sim", "fido2", "--state", self.root / "key", "--auto-touch", "--json"],
                        {}, self.root / "token.log")
        uri = json.loads(token.start())["uri"]
        agent = Process([self.binaries / "forekey-agent", "--state", self.root / "agent", "--socket", self.socket,
                         "--device", uri, "--pinentry", "none", "--json"], {}, self.root / "agent.log")
        agent.start()
        self.processes = [token, agent]
        self.driver = None
        if driver:
            self.driver = Process(driver, {}, self.root / "driver.log")
            self.driver.start()
            self.processes.append(self.driver)
            self.answers, self.count = {}, 0
            threading.Thread(target=self._read, daemon=True).start()
        self.open = None

    def close(self):
        for process in reversed(self.processes):
            process.end()
        shutil.rmtree(self.root, ignore_errors=True)

    # ---- What is asked ----

    def enroll(self, asked):
        done = run([self.binaries / "forekey", "enroll", asked["invite"], "--json"],
                   {"FOREKEY_AGENT_SOCKET": str(self.socket)}, patience=asked["timeout"])
        return {"ok": done.ok, "why": str(done)}

    def call(self, asked):
        if self.driver is None:
            return self._by_echo_client(asked, [asked["text"]])
        answer = self._with_channel(asked, lambda: self._drive("say", text=asked["text"], timeout=asked["timeout"]))
        return self._told(answer, text="".join(answer.get("texts", [])))

    def calls(self, asked):
        texts = [f"{i}" for i in range(asked["count"])]
        if self.driver is None:
            return self._by_echo_client(asked, texts)
        def all_at_once():
            begun = [self._begin("say", text=text, timeout=asked["timeout"]) for text in texts]
            ended = [answer.get() for answer in begun]
            return next((answer for answer in ended if not answer["ok"]), ended[0])
        return self._told(self._with_channel(asked, all_at_once))

    def chat(self, asked):
        if self.driver is None:
            return self._by_echo_client(asked, ["--stream", *asked["texts"]])

        def talk():
            answer = self._drive("chat_open", name=asked["gate"], timeout=asked["timeout"])
            texts = []
            for text in asked["texts"]:
                if answer["ok"]:
                    answer = self._drive("chat_send", name=asked["gate"], text=text, timeout=asked["timeout"])
                    texts += answer.get("texts", [])
            return {**answer, "texts": texts}
        answer = self._with_channel(asked, talk)
        return self._told(answer, texts=answer.get("texts"))

    def _by_echo_client(self, asked, words):
        target = ["--target", asked["target"]] if "target" in asked else []
        done = run([self.binaries / "forekey-example-echo-client", "--gate", asked["gate"], "--socket", self.socket,
                    *target, *words], patience=asked["timeout"])
        texts = [line.partition("  (")[0] for line in done.output.splitlines()]
        return {"ok": done.ok, "why": str(done), "text": "".join(texts), "texts": texts}

    def _with_channel(self, asked, act):
        wanted = asked["gate"], asked.get("target", "")
        if wanted != self.open:
            opened = self._drive("open", gate=wanted[0], target=wanted[1], socket=str(self.socket), timeout=20)
            if not opened["ok"]:
                return opened
            self.open = wanted
        return act()

    @staticmethod
    def _told(answer, **more):
        return {"ok": answer["ok"], "why": f"{answer.get('code')} {answer.get('kind')}: {answer.get('details')}", **more}

    # ---- The driver: tests/interop/clients/driver.* ----

    def _begin(self, do, **words):
        self.count += 1
        answer = self.answers[self.count] = queue.Queue()
        pipe = self.driver.process.stdin
        pipe.write((json.dumps({"id": self.count, "do": do, **words}) + "\n").encode())
        pipe.flush()
        return answer

    def _drive(self, do, **words):
        return self._begin(do, **words).get()

    def _read(self):
        try:
            for line in self.driver.process.stdout:
                answer = json.loads(line)
                self.answers.pop(answer["id"]).put(answer)
        except ValueError:  # closed
            pass


def main():
    client = Client(sys.argv[1], sys.argv[2:])
    try:
        for line in sys.stdin:
            asked = json.loads(line)
            act = {"enroll": client.enroll, "call": client.call, "calls": client.calls, "chat": client.chat}.get(asked["do"])
            print(json.dumps({"id": asked["id"], **(act(asked) if act else {"unsupported": True})}), flush=True)
    finally:
        client.close()


main()
