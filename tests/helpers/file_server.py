"""A server of checkpoints that can be slow, cut short or endless."""

import time
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler

import torch

CONTENT = {'state_dict': {'w': torch.arange(4.0)}}


def save(path, content=CONTENT):
    torch.save(content, path)
    return path


class Quiet(SimpleHTTPRequestHandler):
    """Serves files: if named `cut` half of it, if named `slow` slowly.

    The name may also ask for other behaviour: `to=ADDRESS` redirects,
    `unsized` leaves out the length, `dripping` sends headers for ever,
    `endless` the body.
    """

    requests = []

    def do_GET(self):
        if '?to=' in self.path:
            self.send_response(302)
            self.send_header('Location', self.path.partition('?to=')[2])
            self.end_headers()
        elif 'dripping' in self.path or 'endless' in self.path:
            self.drip(
                b'HTTP/1.0 200 OK\r\n' + b'\r\n' * ('endless' in self.path)
            )
        else:
            super().do_GET()

    def drip(self, start):
        self.requests.append(self.path)
        with suppress(OSError):
            self.wfile.write(start)
            for number in range(600):
                self.wfile.write(b'X-%d: 1\r\n' % number)
                time.sleep(0.02)

    def send_header(self, keyword, value):
        if keyword != 'Content-Length' or 'unsized' not in self.path:
            super().send_header(keyword, value)

    def log_message(self, *args):
        self.requests.append(self.path)

    def copyfile(self, source, outputfile):
        content = source.read()
        if 'cut' in self.path:
            content = content[: len(content) // 2]
        for start in range(0, len(content), 4096):
            outputfile.write(content[start : start + 4096])
            if 'slow' in self.path:
                time.sleep(0.02)


def cached(tmp_path):
    return sorted(
        p.name
        for p in (tmp_path / 'hub').rglob('*')
        if p.is_file() and p.suffix != '.sha256'
    )
