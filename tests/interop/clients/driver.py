# SPDX-License-Identifier: Apache-2.0
"""Makes calls through the Python client, as lines of JSON on standard input say, and answers with lines of JSON.

  {"id": 1, "do": "open", "gate": "...", "socket": "...", "target": "..."}   then say, collect, repeat, chat_open, ...
"""
import json
import queue
import sys
import threading

import echo_pb2
import grpc

import forekey

ECHO = "/forekey.example.Echo/"


class Driver:
    def __init__(self):
        self.channel = None
        self.chats, self.calls = {}, {}
        self.output = threading.Lock()

    def stub(self, kind, method):
        return getattr(self.channel, kind)(ECHO + method, request_serializer=echo_pb2.EchoRequest.SerializeToString,
                                           response_deserializer=echo_pb2.EchoResponse.FromString)

    def open(self, line):
        self.channel = forekey.channel(line["gate"], agent_socket=line["socket"], target=line.get("target", ""))
        return {}

    def say(self, line):
        request = echo_pb2.EchoRequest(text=line["text"])
        if line.get("name"):  # to be cancelled
            call = self.calls[line["name"]] = self.stub("unary_unary", "Say").future(request, timeout=line["timeout"])
            return self.told([call.result()])
        return self.told([self.stub("unary_unary", "Say")(request, timeout=line["timeout"],
                                                          wait_for_ready=line.get("wait", False))])

    def collect(self, line):
        requests = (echo_pb2.EchoRequest(text=text) for text in line["texts"])
        return self.told([self.stub("stream_unary", "Collect")(requests, timeout=line["timeout"])])

    def repeat(self, line):
        return self.told(self.stub("unary_stream", "Repeat")(
            echo_pb2.EchoRequest(text=line["text"], times=line["times"]), timeout=line["timeout"]))

    def chat_open(self, line):
        texts = queue.Queue()
        requests = (echo_pb2.EchoRequest(text=text) for text in iter(texts.get, None))
        self.chats[line["name"]] = texts, self.stub("stream_stream", "Chat")(requests, timeout=line["timeout"])
        return {}

    def chat_send(self, line):
        texts, call = self.chats[line["name"]]
        texts.put(line["text"])
        return self.told([next(call)])

    def chat_end(self, line):
        texts, call = self.chats[line["name"]]
        texts.put(None)
        return self.told(call)

    def cancel(self, line):
        """What the call ended with."""
        texts, call = self.chats.get(line["name"]) or (None, self.calls.get(line["name"]))
        call.cancel()
        if texts is not None:
            texts.put(None)
        next(call) if texts is not None else call.result()
        return {}

    @staticmethod
    def told(answers):
        answers = list(answers)
        return {"texts": [answer.text for answer in answers], "subject": answers[0].subject if answers else "",
                "session": answers[0].session if answers else ""}

    def run(self, line):
        try:
            answer = {"ok": True, **getattr(self, line["do"])(line)}
        except forekey.Error as error:
            answer = {"ok": False, "code": error.code().name, "kind": error.kind.value, "details": error.details(),
                      "reference": error.reference, "step_up": error.step_up, "reason": error.reason,
                      "gate_trouble": error.gate_trouble, "device_trouble": error.device_trouble,
                      "advice": error.advice}
        except grpc.FutureCancelledError as error:  # what grpc.Future has for it
            answer = {"ok": False, "code": "CANCELLED", "kind": "cancelled", "details": repr(error)}
        except Exception as error:  # the test is to see it
            answer = {"ok": False, "code": "", "kind": "exception", "details": repr(error)}
        with self.output:
            print(json.dumps({"id": line["id"], **answer}), flush=True)


def main():
    driver = Driver()
    print("ready", flush=True)
    for text in sys.stdin:
        threading.Thread(target=driver.run, args=(json.loads(text),), daemon=True).start()


main()
