"""A local stand-in for the Hugging Face Hub: it keeps repositories in memory, and speaks what huggingface_hub asks.

Large files (.safetensors) go through the LFS protocol, as on the Hub; their ETag is their SHA-256. That of other files
is the hash that git gives them.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = 'hf_writer'


class StandIn(ThreadingHTTPServer):
    """Repositories {'OWNER/NAME': [(commit, {file: bytes}), ...]}, the newest last, and ways to misbehave."""

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.repositories, self.objects, self.requests = {}, {}, []
        self.gated, self.down, self.sent = set(), False, {}
        self.url = f'http://127.0.0.1:{self.server_port}'

    def commit(self, repository, files):
        """A new commit in which these files are new or changed; returns its number."""
        commits = self.repositories.setdefault(repository, [])
        contents = {**(commits[-1][1] if commits else {}), **files}
        number = hashlib.sha1(repr((repository, len(commits), sorted(contents.items()))).encode()).hexdigest()
        commits.append((number, contents))
        return number

    def find(self, repository, revision):
        commits = self.repositories[repository]
        return commits[-1] if revision == 'main' else next((c for c in commits if c[0] == revision), None)


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path, dict(self.headers)))
        if self.server.down:
            return self.answer(503)
        if found := re.fullmatch('/api/models/([^/]+/[^/]+)(?:/revision/(.+))?', path):
            return self.repository(found[1], found[2] or 'main')
        if found := re.fullmatch('/api/models/([^/]+/[^/]+)/tree/(.+)', path):
            return self.tree(found[1], found[2])
        if found := re.fullmatch('/([^/]+/[^/]+)/resolve/(.+?)/([^/]+)', path):
            return self.file(*found.groups())
        return self.answer(404)

    do_HEAD = do_GET

    def do_POST(self):
        path, body = unquote(urlsplit(self.path).path), self.rfile.read(int(self.headers['Content-Length']))
        self.server.requests.append((self.command, path, dict(self.headers)))
        if self.server.down:
            return self.answer(503)
        if path == '/api/validate-yaml':
            good = json.loads(body)['content'].startswith('---\n')
            return self.answer(200 if good else 400, dict(errors=[] if good else [dict(message='no metadata')]))
        if self.headers.get('Authorization') != f'Bearer {TOKEN}':
            return self.answer(401, dict(error='Invalid username or password.'))
        if path == '/api/repos/create':
            made = json.loads(body)
            name = f'{made.get("organization") or "me"}/{made["name"]}'
            status = 409 if name in self.server.repositories else 200
            self.server.repositories.setdefault(name, [('0' * 40, {})])
            return self.answer(
                status, dict(url=f'{self.server.url}/{name}', error='You already created this model repo')
            )
        if re.fullmatch('/api/models/[^/]+/[^/]+/preupload/main', path):
            files = [
                dict(path=f['path'], uploadMode=_mode(f['path']), shouldIgnore=False) for f in json.loads(body)['files']
            ]
            return self.answer(200, dict(files=files))
        if path.endswith('.git/info/lfs/objects/batch'):
            objects = [
                dict(**o, actions=dict(upload=dict(href=f'{self.server.url}/lfs/{o["oid"]}')))
                for o in json.loads(body)['objects']
            ]
            return self.answer(200, dict(transfer='basic', objects=objects))
        if found := re.fullmatch('/api/models/([^/]+/[^/]+)/commit/main', path):
            return self.commit(found[1], [json.loads(line) for line in body.splitlines()])
        return self.answer(404)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        oid = self.path.rpartition('/')[2]
        if hashlib.sha256(body).hexdigest() != oid:
            return self.answer(400)
        self.server.objects[oid] = body
        return self.answer(200)

    def commit(self, repository, lines):
        files = {}
        for line in lines:
            value = line['value']
            if line['key'] == 'file':
                files[value['path']] = base64.b64decode(value['content'])
            elif line['key'] == 'lfsFile':
                files[value['path']] = self.server.objects[value['oid']]
        number = self.server.commit(repository, files)
        url = f'{self.server.url}/{repository}/commit/{number}'
        return self.answer(200, dict(commitUrl=url, commitOid=number, success=True))

    def found(self, repository, revision):
        if repository not in self.server.repositories:
            self.answer(404 if self.command == 'GET' else 401, error='RepoNotFound')
        elif repository in self.server.gated:
            self.answer(403, error='GatedRepo')
        elif self.server.find(repository, revision) is None:
            self.answer(404, error='RevisionNotFound')
        else:
            return self.server.find(repository, revision)

    def repository(self, repository, revision):
        found = self.found(repository, revision)
        if found:
            number, files = found
            self.answer(200, dict(id=repository, sha=number, siblings=[dict(rfilename=name) for name in files]))

    def tree(self, repository, revision):
        found = self.found(repository, revision)
        if found:
            files = [dict(type='file', path=name, size=len(x), oid='0' * 40) for name, x in found[1].items()]
            self.answer(200, files)

    def file(self, repository, revision, name):
        found = self.found(repository, revision)
        if not found:
            return
        number, files = found
        if name not in files:
            return self.answer(404, error='EntryNotFound', headers={'X-Repo-Commit': number})
        body = files[name]
        etag = hashlib.sha256(body) if _mode(name) == 'lfs' else hashlib.sha1(b'blob %d\0' % len(body) + body)
        size = len(body)
        body = self.server.sent.get(name, body)  # what a damaged disk or a proxy makes of it
        headers = {'X-Repo-Commit': number, 'ETag': f'"{etag.hexdigest()}"', 'Content-Length': str(size)}
        self.answer(200, headers=headers, body=body)

    def answer(self, status, contents=None, error=None, headers=None, body=None):
        body = json.dumps({} if contents is None else contents).encode() if body is None else body
        self.close_connection = True
        self.send_response(status)
        headers = {'Content-Length': str(len(body)), 'Content-Type': 'application/json', **(headers or {})}
        if error:
            headers.update({'X-Error-Code': error, 'X-Error-Message': error})
        for key, value in {**headers, 'Connection': 'close'}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def log_message(self, *args):
        pass


def _mode(file):
    return 'lfs' if file.endswith('.safetensors') else 'regular'


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The stand-in, to which huggingface_hub of this process and of its children turns, with an empty cache."""
    constants = pytest.importorskip('huggingface_hub.constants')
    server = StandIn()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv('HF_ENDPOINT', server.url)
    # the variable was read when huggingface_hub was imported
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', template)
    monkeypatch.setattr(constants, 'ENDPOINT', server.url)
    monkeypatch.setenv('HF_HOME', str(tmp_path / 'hf'))
    monkeypatch.setenv('HF_TOKEN', TOKEN)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hf' / 'hub'))
    # the protocol of the Hub's own client in Rust; without it, files are uploaded by LFS
    monkeypatch.setenv('HF_HUB_DISABLE_XET', '1')
    monkeypatch.setattr(constants, 'HF_HUB_DISABLE_XET', True)
    for name in ('A2SG_ZOO_OFFLINE', 'A2SG_ZOO_MIRROR', 'HF_HUB_OFFLINE', 'http_proxy', 'HTTP_PROXY', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()
