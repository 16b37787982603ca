"""A local web server that serves a file, and misbehaves in the ways that a test asks for."""

import os
import random
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

CONTENT = random.Random(0).randbytes(300_000)


class Handler(BaseHTTPRequestHandler):
    """Serves the server's `content`; each request first takes its misbehaviour from the server's list."""

    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        act = server.acts.pop(0) if server.acts else 'serve'
        self.close_connection = True
        if act == 'silent':
            server.over.wait(60)
            return
        if act == 'no http':
            self.wfile.write(b'SSH-2.0-OpenSSH_9.6\r\n')
            return
        if act in ('endless', 'endless chunks', 'too much', 'chunked too much'):
            self.send_response(200)
            self.flood(chunked='chunk' in act, most=10_000_000_000 if 'endless' in act else len(server.content) + 1)
            return
        if act == 'redirect':
            self.send_response(302)
            self.send_header('Location', self.path)
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        if isinstance(act, int):
            self.send_response(act)
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        start = 0
        wanted, condition = self.headers.get('Range'), self.headers.get('If-Range')
        if wanted and act != 'ignore range' and (condition is None or condition == server.etag):
            start = int(wanted.removeprefix('bytes=').rstrip('-'))
            if start >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {start}-{len(server.content) - 1}/{len(server.content)}')
        else:
            self.send_response(200)
        body = b'<html>log in</html>' if act == 'html' else server.content[start:]
        self.send_header('Content-Type', 'text/html; charset=utf-8' if act == 'html' else 'application/zip')
        if act != 'no length':
            self.send_header('Content-Length', '3e5' if act == 'bad length' else str(len(body)))
        if server.etag:
            self.send_header('ETag', server.etag)
        self.end_headers()
        if act == 'slow':
            server.over.wait(0.3)
        if act == 'drip':
            for i in range(len(body)):
                self.wfile.write(body[i : i + 1])
                if server.over.wait(0.02):
                    break
            return
        if act in ('drop', 'stall'):
            body = body[: min(100_000, len(body) // 2)]
        self.wfile.write(body)
        self.wfile.flush()
        if act == 'stall':
            server.over.wait(60)

    def flood(self, chunked, most):
        """Sends a body of so many bytes, and counts in the server's `sent` what the client took."""
        if chunked:
            self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        block = bytes(65536)
        try:
            while self.server.sent < most and not self.server.over.is_set():
                part = block[: most - self.server.sent]
                self.wfile.write(b'%x\r\n%s\r\n' % (len(part), part) if chunked else part)
                self.server.sent += len(part)
            if chunked:
                self.wfile.write(b'0\r\n\r\n')
        except OSError:
            pass

    def do_HEAD(self):
        """As the Hugging Face Hub answers."""
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        self.send_response(server.acts.pop(0) if server.acts else 200)
        self.send_header('X-Repo-Commit', '0' * 40)
        self.send_header('ETag', server.etag)
        self.send_header('Content-Length', str(len(server.content)))
        self.end_headers()

    def end_headers(self):
        self.send_header('Connection', 'close')  # clients that keep connections would otherwise use a dead one
        super().end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """Its `acts` are what the next requests meet: a status, or the name of a misbehaviour."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.content, server.etag, server.acts, server.requests = CONTENT, '"v1"', [], []
    server.over, server.sent = threading.Event(), 0
    server.url = f'http://127.0.0.1:{server.server_port}/files/data.zip'
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    for name in ('A2SG_MIRROR', 'A2SG_ZOO_MIRROR', 'A2SG_ZOO_OFFLINE'):
        monkeypatch.delenv(name, raising=False)
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 256 kB."""
    folder = tmp_path / 'small'
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder], capture_output=True).returncode
        == 0
    )
    if not mounted:
        pytest.skip('a file system can be mounted only by a superuser whom the system lets do so')
    yield folder
    subprocess.run(['umount', folder], check=True)
