"""Messages and jobs with the official Python SDK: one program for who publishes and for each way to subscribe.

What arrives is written into the file `$LEDGER`, one line of JSON each. A message says itself what its subscribers answer:
`say` is `retry`, `drop`, `twice` (retry, then success) or `hold` (retry until there is a file `$LEDGER.free`). `checks` has
cases behind paths, as in `checks.py`.
"""

import base64
import json
import os
import sys
import time
import traceback
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from dapr.clients import DaprClient
from dapr.clients.grpc._jobs import ConstantFailurePolicy, DropFailurePolicy, Job
from dapr.clients.grpc._request import BulkPublishEntry
from dapr.clients.grpc._response import TopicEventResponse
from google.protobuf.any_pb2 import Any
from google.protobuf.wrappers_pb2 import StringValue

PUBSUB, JSON = "pubsub", "application/json"
LEDGER = os.environ["LEDGER"]
APP, INSTANCE = os.environ["FLOTILLA_SERVICE"], os.environ["FLOTILLA_INSTANCE"]
APPS = ["web", "callback", "stream"]


def note(**fields):
    """Writes down what arrived."""
    line = json.dumps({"app": APP, "instance": INSTANCE, **fields}) + "\n"
    # One write: lines of several processes do not mix.
    with open(LEDGER, "ab", buffering=0) as file:
        file.write(line.encode())


def noted(tag, **wanted):
    """What was written down about a tag."""
    if not os.path.exists(LEDGER):
        return []
    with open(LEDGER, encoding="utf-8") as file:
        text = file.read()
    # The last line may be half there.
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if tag in line]
    return [line for line in lines if all(line.get(name) == wanted[name] for name in wanted)]


def until(what, found):
    """Waits until `found` returns something."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come")


def verdict(data):
    """What a subscriber answers, because the message says so."""
    if not isinstance(data, dict):
        return "success"
    say = data.get("say", "success")
    if say == "hold":
        return "success" if os.path.exists(f"{LEDGER}.free") else "retry"
    if say == "twice":
        return "success" if noted(data["tag"], app=APP) else "retry"
    return say


def arrived(topic, data, **more):
    is_letter = topic.startswith("letters")
    said = "success" if is_letter else verdict(data)
    note(topic=topic, data=data, said=said, **more)
    return said


# ---- who publishes -----------------------------------------------------------------------------------------------------


def message(**fields):
    """Data with a tag that no other message has."""
    return {"tag": str(uuid.uuid4()), **fields}


def send(topic, data, **options):
    with DaprClient() as dapr:
        dapr.publish_event(PUBSUB, topic, json.dumps(data), data_content_type=JSON, **options)
    return data["tag"]


def all_got(tag, **wanted):
    """Waits until each app has something of the tag, and returns that by app."""
    got = lambda: {app: noted(tag, app=app, **wanted) for app in APPS}
    until(f"{tag} at all apps", lambda: all(got().values()))
    return got()


def publish():
    tag = send("orders", message(count=1, name="ü"))
    found = all_got(tag)
    for app, lines in found.items():
        assert len(lines) == 1, (app, lines)
        line = lines[0]
        assert line["data"] == {"tag": tag, "count": 1, "name": "ü"}, line
        assert line["source"] == "checks" and line["type"] == "com.dapr.event.sent", line
        assert line["content_type"] == JSON and line["topic"] == "orders", line
        assert line["pubsub"] == PUBSUB and line["spec"] == "1.0", line
    assert len({lines[0]["id"] for lines in found.values()}) == 1, found
    envelope = found["web"][0]["envelope"]
    assert all(isinstance(envelope[name], str) for name in ["traceid", "tracestate", "time"]), envelope


def kinds_of_data():
    tag = str(uuid.uuid4())
    with DaprClient() as dapr:
        dapr.publish_event(PUBSUB, "orders", f"text {tag}")
        dapr.publish_event(PUBSUB, "orders", f"<a>{tag}</a>", data_content_type="text/xml")
    for lines in all_got(f"text {tag}").values():
        assert lines[0]["content_type"] == "text/plain", lines
    for lines in all_got(f"<a>{tag}</a>").values():
        assert lines[0]["content_type"] == "text/xml", lines
    data = b"\x00\xff\xfe" + tag.encode()
    with DaprClient() as dapr:
        dapr.publish_event(PUBSUB, "orders", data, data_content_type="application/octet-stream")
    for app, lines in all_got(base64.b64encode(data).decode()).items():
        assert len(lines) == 1, (app, lines)


def cloud_event():
    data = message()
    event = {
        "specversion": "1.0", "id": f"id-{data['tag']}", "source": "my-service", "type": "order.made",
        "subject": "order 7", "datacontenttype": JSON, "team": "red", "data": data,
    }
    with DaprClient() as dapr:
        options = {"data_content_type": "application/cloudevents+json"}
        dapr.publish_event(PUBSUB, "orders", json.dumps(event), **options)
    for lines in all_got(data["tag"]).values():
        line = lines[0]
        assert line["id"] == event["id"] and line["source"] == "my-service", line
        assert line["type"] == "order.made" and line["data"] == data, line
    envelope = noted(data["tag"], app="web")[0]["envelope"]
    assert envelope["team"] == "red" and envelope["subject"] == "order 7", envelope


def attributes():
    wanted = {"cloudevent.id": f"own-{uuid.uuid4()}", "cloudevent.type": "own", "cloudevent.source": "me"}
    tag = send("orders", message(), publish_metadata=wanted)
    for lines in all_got(tag).values():
        line = lines[0]
        got = {f"cloudevent.{name}": line[name] for name in ["id", "type", "source"]}
        assert got == wanted, line


def raw():
    """Without an envelope; who subscribes so gets the bytes as they are."""
    data = message()
    text = json.dumps(data)
    with DaprClient() as dapr:
        options = {"publish_metadata": {"rawPayload": "true"}, "data_content_type": JSON}
        dapr.publish_event(PUBSUB, "raw", text, **options)
    coded = base64.b64encode(text.encode()).decode()
    line = until("the bytes", lambda: noted(coded, app="web"))[0]
    assert line["envelope"]["data_base64"] == coded, line


def ttl():
    """Nobody gets what came too late: it becomes known to `later` only after its time."""
    topic, gone, kept = f"late-{uuid.uuid4()}", message(), message()
    send(topic, gone, publish_metadata={"ttlInSeconds": "1"})
    send(topic, kept, publish_metadata={"ttlInSeconds": "1000"})
    time.sleep(1.5)
    got = []
    with DaprClient() as dapr:
        def take(event):
            got.append(event.data())
            return TopicEventResponse("success")

        close = dapr.subscribe_with_handler(PUBSUB, topic, take)
        until("what is in time", lambda: got)
        close()
    assert got == [kept], (got, gone)


def bulk():
    tag = str(uuid.uuid4())
    entry = lambda number: BulkPublishEntry(
        event=json.dumps({"tag": tag, "n": number}), content_type=JSON, metadata={"partitionKey": tag}
    )
    with DaprClient() as dapr:
        done = dapr.publish_events(PUBSUB, "orders", [entry(number) for number in range(20)])
        assert not done.failed_entries, done.failed_entries
    for app in APPS:
        until(f"all of the bulk at {app}", lambda: len(noted(tag, app=app)) >= 20)
        got = [line["data"]["n"] for line in noted(tag, app=app)]
        # Of one key, and one after the other.
        assert got == list(range(20)), (app, got)


def errors():
    with DaprClient() as dapr:
        for pubsub, topic in [("nowhere", "orders"), (PUBSUB, "")]:
            try:
                dapr.publish_event(pubsub, topic, "x")
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT), error
            else:
                raise AssertionError(f"{pubsub}/{topic} took a message")
        entries = [BulkPublishEntry(event="1", entry_id="a"), BulkPublishEntry(event="2", entry_id="a")]
        try:
            dapr.publish_events(PUBSUB, "orders", entries)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        else:
            raise AssertionError("two entries have the same id")


def retry():
    tag = send("orders", message(say="twice"))
    for app, lines in all_got(tag, said="success").items():
        both = noted(tag, app=app)
        assert [line["said"] for line in both] == ["retry", "success"], both
        assert both[0]["id"] == lines[0]["id"], both


def dead_letters():
    for app in APPS:
        for say in ["drop", "retry"]:
            tag = send(f"doomed-{app}", message(say=say))
            wanted = {"app": app, "topic": f"letters-{app}"}
            letter = until(f"the letter of {app}", lambda: noted(tag, **wanted))[0]
            tried = noted(tag, app=app, topic=f"doomed-{app}")
            assert tried and {line["said"] for line in tried} == {say}, tried
            assert len(tried) == 1 or say == "retry", tried
            assert letter["id"] == tried[0]["id"] and letter["data"]["tag"] == tag, letter


def routes():
    for kind in ["big", "small", "other"]:
        data = message()
        send("routed", data, publish_metadata={"cloudevent.type": kind})
        line = until(f"{kind} at the callback", lambda: noted(data["tag"], app="callback"))[0]
        assert line["way"] == kind, line


def shares():
    """Two instances of one app share the work, so both of them get some of it and nothing comes twice."""
    tags = []

    def both():
        tags.append(send("orders", message()))
        lines = [line for tag in tags[-50:] for line in noted(tag, app="web")]
        return len({line["instance"] for line in lines}) == 2

    until("messages at both instances", both)
    for tag in tags:
        found = all_got(tag)
        assert all(len(lines) == 1 for lines in found.values()), found


def jobs_of_callback():
    invoke("callback", "jobs")


def jobs_of_web():
    invoke("web", "jobs")


def invoke(app, method):
    with DaprClient() as dapr:
        done = dapr.invoke_method(app, method, b"", http_verb="POST", timeout=100)
        assert done.data == b"fine", done.data.decode()


def hold():
    """A message that all apps ask for again until they are allowed to take it."""
    tag = send("orders", message(say="hold"))
    all_got(tag, said="retry")
    with open(f"{LEDGER}.held", "w", encoding="utf-8") as file:
        file.write(tag)


def release():
    with open(f"{LEDGER}.held", encoding="utf-8") as file:
        tag = file.read()
    for app in APPS:
        assert not noted(tag, app=app, said="success"), app
    with open(f"{LEDGER}.free", "w", encoding="utf-8"):
        pass
    all_got(tag, said="success")
    # The other forms work again as well.
    retry()
    dead_letters()


CASES = [
    publish, kinds_of_data, cloud_event, attributes, raw, ttl, bulk, errors, retry, dead_letters, routes,
    shares, jobs_of_callback, jobs_of_web, hold, release,
]


# ---- jobs, made by the app that they come back to ----------------------------------------------------------------------


def check_jobs(register):
    """Says `fine`, or what went wrong."""
    try:
        make_jobs(register)
    except BaseException:
        return traceback.format_exc()
    return "fine"


def make_jobs(register):
    def job(name, **fields):
        data = Any()
        data.Pack(StringValue(value=name))
        return Job(name=name, data=data, **fields)

    stem = str(uuid.uuid4())
    once, often, never = f"once-{stem}", f"often-{stem}", f"never-{stem}"
    register(once)
    register(often)
    with DaprClient() as dapr:
        dapr.schedule_job(job(never, schedule="@yearly", failure_policy=DropFailurePolicy()))
        found = dapr.get_job(never)
        assert found.name == never and found.schedule == "@yearly", found
        try:
            dapr.schedule_job(job(never, schedule="@daily"))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.ALREADY_EXISTS, error
        else:
            raise AssertionError("a job was written over")
        dapr.schedule_job(job(never, schedule="@daily"), overwrite=True)
        assert dapr.get_job(never).schedule == "@daily"
        dapr.delete_job(never)
        try:
            dapr.get_job(never)
        except grpc.RpcError as error:
            assert "not found" in error.details(), error
        else:
            raise AssertionError("a deleted job is there")
        dapr.schedule_job(job(once, due_time="0s"))
        policy = ConstantFailurePolicy(max_retries=3, interval_seconds=1)
        dapr.schedule_job(job(often, schedule="@every 1s", repeats=2, failure_policy=policy))
        until("the job that is due", lambda: noted(once, app=APP))
        until("both runs", lambda: len(noted(often, app=APP)) >= 2)

        def is_over():
            try:
                dapr.get_job(often)
            except grpc.RpcError as error:
                return "not found" in error.details()
            return False

        until("the end of the job", is_over)
        assert len(noted(often, app=APP)) == 2, noted(often, app=APP)


# ---- who subscribes ----------------------------------------------------------------------------------------------------


def of_message(event, **more):
    """A message as the SDK has it, for the ledger."""
    data = event.data()
    if data is None:
        try:
            data = event.raw_data().decode()
        except UnicodeDecodeError:
            data = base64.b64encode(event.raw_data()).decode()
    return arrived(
        event.topic(), data, id=event.id(), source=event.source(), type=event.type(),
        content_type=event.data_content_type(), pubsub=event.pubsub_name(), spec=event.spec_version(), **more,
    )


def serve_web():
    import uvicorn
    from dapr.ext.fastapi import DaprApp
    from fastapi import Body, FastAPI, Request
    from fastapi.responses import PlainTextResponse

    app = FastAPI()
    dapr_app = DaprApp(app)

    def take(topic, **options):
        def handle(event=Body()):
            said = arrived(
                topic, event.get("data", event.get("data_base64")), id=event["id"], source=event["source"],
                type=event["type"], content_type=event["datacontenttype"], pubsub=event["pubsubname"],
                spec=event["specversion"], envelope=event,
            )
            return {"status": said.upper()}

        dapr_app.subscribe(pubsub=PUBSUB, topic=topic, **options)(handle)

    take("orders")
    take("raw", metadata={"rawPayload": "true"})
    take("doomed-web", dead_letter_topic="letters-web", route="/doomed")
    take("letters-web")

    @app.get("/healthz")
    def healthz():
        return "fine"

    @app.post("/jobs", response_class=PlainTextResponse)
    def jobs():
        return check_jobs(lambda name: None)

    @app.post("/job/{name}")
    async def job(name: str, request: Request):
        note(topic="job", job=name, data=(await request.body()).decode())
        return "done"

    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")


def serve_callback():
    from dapr.ext.grpc import App, InvokeMethodRequest, InvokeMethodResponse, JobEvent, Rule, SubscriptionMessage

    app = App()

    def take(topic, way=None, **options):
        def handle(event: SubscriptionMessage):
            return TopicEventResponse(of_message(event, way=way))

        # The SDK makes the path of a rule from the name.
        handle.__name__ = f"handle_{way or topic}"
        app.subscribe(pubsub_name=PUBSUB, topic=topic, **options)(handle)

    take("orders")
    take("doomed-callback", dead_letter_topic="letters-callback")
    take("letters-callback")
    # With rules, the SDK names a default only so.
    take("routed", way="other", disable_topic_validation=True)
    take("routed", way="big", rule=Rule('event.type == "big"', 1))
    take("routed", way="small", rule=Rule('event.type == "small"', 2))

    @app.method("jobs")
    def jobs(request: InvokeMethodRequest):
        def register(name):
            handle = lambda event: note(topic="job", job=event.name, data=event.get_data_as_string())
            app.job_event(name)(handle)

        return InvokeMethodResponse(check_jobs(register), "text/plain")

    app.run(int(os.environ["PORT"]), listen_address="127.0.0.1")


def serve_stream():
    dapr = DaprClient()

    def take(event):
        return TopicEventResponse(of_message(event))

    for topic, letters in [("orders", None), ("doomed-stream", "letters-stream"), ("letters-stream", None)]:
        dapr.subscribe_with_handler(PUBSUB, topic, take, dead_letter_topic=letters)
    serve_paths([])


def serve_paths(cases):
    cases = {case.__name__: case for case in cases}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, text = 200, "fine"
            try:
                if self.path.startswith("/dapr/"):
                    status = 404
                elif self.path != "/healthz":
                    cases[self.path.strip("/")]()
            except BaseException:
                status, text = 500, traceback.format_exc()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()


ROLES = {
    "checks": lambda: serve_paths(CASES), "web": serve_web, "callback": serve_callback, "stream": serve_stream,
}
ROLES[sys.argv[1]]()
