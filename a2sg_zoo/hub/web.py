"""One request to a web server, and in words for people why it failed."""

import http.client
import ssl
from contextlib import contextmanager

import requests
from requests.exceptions import ChunkedEncodingError, InvalidSchema
from urllib3 import exceptions as urllib3

_CHUNK = 1 << 20


class WebError(Exception):
    """Why an address cannot be fetched.

    Attributes:
        passing: whether another attempt may help.
    """

    def __init__(self, reason, passing=False):
        super().__init__(reason)
        self.passing = passing


@contextmanager
def get(url, timeout, headers={}):
    """The response of a server, of whatever status, whose body is yet to be read, by `chunks`.

    Args:
        url: http: or https:; characters that no URL may have are quoted.
        timeout: seconds to connect in, and seconds without a byte that count as a stall.
        headers: of the request.

    Raises:
        WebError
    """
    headers = {'User-Agent': 'a2sg_zoo', 'Accept-Encoding': 'identity', **headers}
    with _explained(timeout):
        response = requests.get(url, headers=headers, stream=True, timeout=timeout)
    with response:
        yield response


def chunks(response, timeout):
    """The body, as it comes: what has arrived is handed over before a break of the connection is raised."""
    while True:
        with _explained(timeout):
            chunk = response.raw.read1(_CHUNK)
        if not chunk:
            return
        yield chunk


def require_success(response):
    code = response.status_code
    if code not in (200, 206):
        raise WebError(f'the server answers {code} {response.reason}', passing=code >= 500 or code in (408, 416, 429))


def refuse_web_page(response, expected):
    if response.headers.get('Content-Type', '').lower().startswith('text/html'):
        raise WebError(
            f'the server answers with a web page where {expected} is expected; open it in a browser: it may '
            'ask for a login, or tell of a move'
        )


def length(response):
    """The number of bytes that the server announces, or None."""
    announced = response.headers.get('Content-Length', '')
    return int(announced) if announced.isdecimal() else None


@contextmanager
def _explained(timeout):
    try:
        yield
    except (requests.Timeout, urllib3.TimeoutError) as error:
        raise WebError(f'nothing came for {timeout:g} s', passing=True) from error
    except (requests.RequestException, urllib3.HTTPError, OSError, ValueError) as error:
        raise _explanation(error) from error


def _explanation(error):
    root = _root(error)
    if isinstance(root, ssl.SSLCertVerificationError):
        return WebError(
            f'the certificate of the server cannot be verified ({root.verify_message}); see that the clock '
            'of this machine is right, and where your network has certificates of its own, set '
            'REQUESTS_CA_BUNDLE to their file'
        )
    if type(root) is http.client.BadStatusLine:
        return WebError(f'what answers there is no web server (it says {str(root).strip():.60})')
    if isinstance(error, InvalidSchema):
        return WebError('it is no http:, https: or file: address')
    if isinstance(error, requests.ConnectionError):
        return WebError(f'no connection ({root})', passing=True)
    if isinstance(error, (ChunkedEncodingError, urllib3.HTTPError)):
        return WebError(f'the connection broke ({root})', passing=True)
    return WebError(str(error))


def _root(error):
    """The innermost of the errors that requests and urllib3 wrap into each other."""
    while True:
        inner = getattr(error, 'reason', None) or (error.args[-1] if error.args else None)
        if not isinstance(inner, Exception):
            return error
        error = inner
