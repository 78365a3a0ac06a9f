import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"hello": "from api", "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        print(format % args, flush=True)


def stop(_signal, _frame):
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
ThreadingHTTPServer.daemon_threads = False  # so that leaving waits for open requests
port = int(os.environ["PORT"])
with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
    print(f"api listening on 127.0.0.1:{port}", flush=True)
    server.serve_forever()
