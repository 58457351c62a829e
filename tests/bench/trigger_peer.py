#!/usr/bin/env python3
"""A trigger server of the original's shape: HTTP/1.0, a process for each request, nothing kept.

    trigger_peer.py PORT

It does the least that the original does for a request: it looks at the path and answers 200 with an empty body. It asks
no name server, writes no log and runs nothing, so whatever is faster than this is faster than the original.
"""
import http.server
import re
import socketserver
import sys

PATHS = re.compile("/(cdist/)?(install|config)/")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if PATHS.match(self.path) else 404)
        self.end_headers()

    do_POST = do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Server(socketserver.ForkingMixIn, http.server.HTTPServer):
    # The library's own 5 loses connections long before its processes are at their limit.
    request_queue_size = 128

    def server_bind(self):
        # HTTPServer asks for the name of this machine here.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address


if __name__ == "__main__":
    Server(("", int(sys.argv[1])), Handler).serve_forever()
