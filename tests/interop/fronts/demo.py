#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two services in Python that know nothing of hardware keys: one behind the gate's own proxy (`forekey-gate serve`), one
behind nginx, which asks the gate. Each is called by a client in Python, one in Node, and one that knows nothing of
Forekey (through `forekey proxy`): an answer, a refusal, and a revocation each. Prints a table of what must be and what
was; exit status 1 where they differ. Needs nginx, python3-grpcio, python3-grpc-tools, python3-jwt, and Node's packages.

  demo.py BIN NODE_MODULES
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import grpc

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent / "clients")]
from deployment import PATIENCE, Deployment  # noqa: E402
from fronts_test import connect, free_port  # noqa: E402
from packages import build_python_client  # noqa: E402

SAY, BOSS = "/test.Shop/Echo", "/test.Shop/Dismiss"
CONFIG = """
[[upstream]]
name = "shop"
methods = ["/*/*"]
addresses = ["unix:{root}/shop.sock"]
[[rule]]
methods = ["/test.Shop/*"]
any_role = ["clerk"]
[[rule]]
methods = ["/test.Shop/Dismiss"]
any_role = ["boss"]
"""


class Route:
    """A way to a service, and who takes it: a person with a key and an agent of their own."""

    def __init__(self, name, subject, agent, credential):
        self.name, self.subject, self.agent, self.credential = name, subject, agent, credential
        self.local = None  # a channel to `forekey proxy`


class Demo:
    def __init__(self, binaries, node_modules, packages):
        self.world, self.node_modules, self.packages = Deployment(binaries), node_modules, packages
        self.rows, self.routes = [], []

    def set_up(self):
        world = self.world
        bobs = world.start_key("bobs-key")
        world.certificate("front")
        world.start_gate(CONFIG.format(root=world.root))
        world.python_service("shop")
        world.python_service("till")
        port = free_port()
        world.nginx(port, "till")
        connect(world, port).close()
        credential = world.start_agent(bobs, "bob", "bobs-agent", f"localhost:{port}")
        self.routes = [Route("the gate's proxy", "alice", "agent", world.credential),
                       Route("nginx", "bob", "bobs-agent", credential)]
        for route in self.routes:
            listen = "unix:" + world.path(route.agent + "-local.sock")
            world.local_proxy("local-" + route.agent, "--listen", listen, agent=route.agent)
            route.local = grpc.insecure_channel(listen)

    # ---- Clients: each says {text, subject} or {code, details} ----

    def python(self, route, method, text):
        return self.program(route, [sys.executable, HERE / "client.py"], method, text, {"PYTHONPATH": self.packages})

    def node(self, route, method, text):
        return self.program(route, ["node", HERE / "client.cjs"], method, text, {"NODE_PATH": self.node_modules})

    def program(self, route, command, method, text, environment):
        done = subprocess.run([*command, self.world.path(route.agent + ".sock"), method, text], capture_output=True,
                              text=True, check=False, env={**os.environ, **environment}, timeout=2 * PATIENCE)
        if done.returncode != 0:
            return {"code": "it failed", "details": done.stderr[-500:]}
        return json.loads(done.stdout)

    def unchanged(self, route, method, text):
        try:
            answer, call = route.local.unary_unary(method).with_call(text.encode(), timeout=PATIENCE)
            return {"text": answer.decode(), "subject": dict(call.trailing_metadata()).get("x-subject", "")}
        except grpc.RpcError as error:
            return {"code": error.code().name, "details": error.details()}

    # ---- Steps ----

    def step(self, what, expected, told):
        if "text" in told:
            happened = f"{told['text']}, by {told['subject']}"
        else:
            happened = self.why(told)
        self.rows.append((what, expected, happened))
        print(f"  {what} ... {happened}", flush=True)

    def why(self, told):
        """The reason in the gate's audit log under the reference that the refusal has."""
        for part in told.get("details", "").replace(",", " ").split():
            if len(part) == 16:
                try:
                    return "refused: " + self.world.audit(part)["reason"]
                except AssertionError:
                    pass
        if told.get("reason"):
            return "refused: " + told["reason"]
        return f"{told['code']}: {told['details']}"

    def run(self):
        clients = {"a client in Python": self.python, "a client in Node": self.node,
                   "an unchanged client": self.unchanged}
        for route in self.routes:
            for name, client in clients.items():
                self.step(f"{route.name}: {name} calls; the service sees", f"hello, by {route.subject}",
                          client(route, SAY, "hello"))
                self.step(f"{route.name}: {name} calls what only a boss may", "refused: method-not-permitted",
                          client(route, BOSS, "you"))
        self.step("the service behind the gate's proxy, past the gate", "UNAUTHENTICATED: no token of the gate's, or more than one",
                  self.past_the_gate())
        for route in self.routes:
            self.world.admin("revoke", route.credential, "--note", "lost")
            for name, client in clients.items():
                self.step(f"{route.name}: {name} calls after {route.subject}'s key was revoked",
                          "refused: credential-revoked", client(route, SAY, "again"))

    def past_the_gate(self):
        """Somebody who reached the socket, and says who he is."""
        with grpc.insecure_channel("unix:" + self.world.path("shop.sock")) as channel:
            try:
                channel.unary_unary(SAY)(b"hello", metadata=(("forekey-subject", "alice"),), timeout=PATIENCE)
                return {"text": "hello", "subject": "alice"}
            except grpc.RpcError as error:
                return {"code": error.code().name, "details": error.details()}

    def table(self):
        widths = [max(len(row[column]) for row in [("step", "expected"), *self.rows]) for column in (0, 1)]
        print(f"\n     {'step':{widths[0]}}  {'expected':{widths[1]}}  happened")
        for what, expected, happened in self.rows:
            print(f"{' ok' if expected == happened else 'BAD'}  {what:{widths[0]}}  {expected:{widths[1]}}  {happened}")
        bad = sum(expected != happened for _, expected, happened in self.rows)
        print(f"\n{len(self.rows)} steps, {len(self.rows) - bad} as expected, {bad} not", flush=True)
        return bad


def main():
    binaries, node_modules = sys.argv[1:]
    print("Services and clients in other languages: a service behind the gate's proxy, one behind nginx", flush=True)
    with tempfile.TemporaryDirectory(prefix="forekey-p-") as packages:
        build_python_client(packages)
        demo = Demo(pathlib.Path(binaries).resolve(), str(pathlib.Path(node_modules).resolve()), packages)
        try:
            demo.set_up()
            demo.run()
        finally:
            for route in demo.routes:
                if route.local is not None:
                    route.local.close()
            demo.world.close()
    sys.exit(1 if demo.table() else 0)


if __name__ == "__main__":
    main()
