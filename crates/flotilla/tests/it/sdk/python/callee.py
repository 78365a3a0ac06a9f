"""What is called: over HTTP, or over gRPC by the callbacks of the SDK and by a service of its own."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ["PORT"])


def serve_http():
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            status = 418 if self.path == "/teapot" else 404 if self.path == "/missing" else 200
            text = b"|".join([self.command.encode(), self.path.encode(), body])
            kind = "text/plain"
            if self.path.startswith("/json"):
                kind, text = "application/json", json.dumps({"text": text.decode()}).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("X-Caller", self.headers.get("dapr-caller-app-id", ""))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_):
            pass

    ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()


def serve_grpc():
    import grpc
    from dapr.ext.grpc import App, InvokeMethodRequest, InvokeMethodResponse

    app = App()

    @app.method("greet")
    def greet(request: InvokeMethodRequest):
        caller = request.metadata["dapr-caller-app-id"][0]
        return InvokeMethodResponse(b"hello " + request.data + b" of " + caller.encode(), "text/plain")

    @app.method("greet-json")
    def greet_json(request: InvokeMethodRequest):
        caller = request.metadata["dapr-caller-app-id"][0]
        text = json.dumps({"hello": request.data.decode(), "of": caller})
        return InvokeMethodResponse(text, "application/json")

    @app.method("fail")
    def fail(request: InvokeMethodRequest):
        raise RuntimeError("on purpose")

    # A service that the SDK knows nothing of: bytes in, bytes out, and a stream of them.
    def double(request, context):
        context.set_trailing_metadata((("x-last", "yes"),))
        return request + request

    def count(request, context):
        for number in range(int(request)):
            yield str(number).encode()
        if request == b"3":
            context.abort(grpc.StatusCode.OUT_OF_RANGE, "three is enough")

    def echo(requests, context):
        for request in requests:
            yield b"<" + request + b">"

    handlers = {
        "Double": grpc.unary_unary_rpc_method_handler(double),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    }
    service = grpc.method_handlers_generic_handler("shop.Numbers", handlers)
    app.add_external_service(lambda _, server: server.add_generic_rpc_handlers((service,)), None)
    app.run(PORT, listen_address="127.0.0.1")


if sys.argv[1] == "grpc":
    serve_grpc()
else:
    serve_http()
