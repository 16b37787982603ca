"""One request to a web server, and the reasons why it fails in words for people.

Credentials in an address (`https://USER:PASSWORD@HOST/...`, or a token in its query) are used for the request alone.
They appear in no error and in no file; `shown` is the form of an address for both.
"""

import http.client
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from requests.exceptions import ChunkedEncodingError, InvalidSchema
from urllib3 import exceptions as urllib3

_CHUNK = 1 << 20
_SCHEME = r'(?:[A-Za-z][\w+.-]*:)?//'


class WebError(Exception):
    """The reason why an address cannot be fetched.

    Attributes:
        passing: whether another attempt may help.
    """

    def __init__(self, reason: str, passing: bool = False) -> None:
        super().__init__(without_secrets(reason))
        self.passing = passing


@contextmanager
def get(url: str, timeout: float, headers: Mapping[str, str] = {}) -> Iterator[requests.Response]:
    """Sends a GET request and gives the server's response, of any status; `chunks` reads its body.

    Args:
        url: http: or https:. Characters that no URL may have are quoted. A user and a password in it are sent to its
            own host, not to a host to which the server redirects.
        timeout: seconds to connect in, and seconds without a byte that count as a stall.
        headers: of the request.

    Raises:
        WebError: there is no response.
    """
    headers = {'User-Agent': 'a2sg_zoo', 'Accept-Encoding': 'identity', **headers}
    with _explained(timeout):
        address, login = split_credentials(url)
        response = requests.get(address, headers=headers, stream=True, timeout=timeout, auth=login)
    with response:
        yield response


def chunks(response: requests.Response, timeout: float) -> Iterator[bytes]:
    """The body of a response in pieces of at most 1 MiB. A piece that has arrived is given before an error is raised.

    Raises:
        WebError: the connection broke or stalled.
    """
    while True:
        with _explained(timeout):
            chunk = response.raw.read1(_CHUNK)
        if not chunk:
            return
        yield chunk


def require_success(response: requests.Response) -> None:
    """Raises WebError unless the response carries the file or a part of it."""
    code = response.status_code
    if code not in (200, 206):
        raise WebError(f'the server answers {code} {response.reason}', passing=code >= 500 or code in (408, 416, 429))


def refuse_web_page(response: requests.Response, expected: str) -> None:
    """Raises WebError if the response is a web page, such as a login, in place of the file `expected`."""
    if response.headers.get('Content-Type', '').lower().startswith('text/html'):
        raise WebError(
            f'the server answers with a web page where {expected} is expected; open the address in a browser: it may '
            'ask for a login, or say that the file has moved'
        )


def length(response: requests.Response) -> int | None:
    """The number of bytes that the server announces, or None."""
    announced = response.headers.get('Content-Length', '')
    return int(announced) if announced.isdecimal() else None


def split_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    """(the address without user and password, (user, password) or None).

    >>> split_credentials('https://me:secret@host/file')
    ('https://host/file', ('me', 'secret'))

    Raises:
        ValueError: the text is no address.
    """
    parts = urlsplit(url)
    if _has_unquoted_login(parts.netloc, url):
        raise ValueError('its user or password holds one of / ? #, which are written as %2F, %3F and %23 there')
    login, at, host = parts.netloc.rpartition('@')
    if not at:
        return url, None
    user, _, password = login.partition(':')
    return urlunsplit(parts._replace(netloc=host)), (unquote(user), unquote(password))


def has_credentials(text: str) -> bool:
    """Whether a text is an address with a user or a password.

    >>> has_credentials('https://me:secret@host/file'), has_credentials('https://host/@me/file')
    (True, False)
    """
    if not re.match(_SCHEME, text):
        return False
    try:
        return split_credentials(text)[1] is not None
    except ValueError:
        return '@' in text


def shown(url: str) -> str:
    """The address as messages and files may show it: without user, password and query.

    >>> shown('https://me:secret@host/file?token=123')
    'https://host/file?...'
    """
    scheme = re.match(_SCHEME, url)
    if scheme is None:
        return url if url.startswith(('hf:', 'file:')) else url.rpartition('@')[2].partition('?')[0]
    rest = url[scheme.end() :]
    host = re.split('[/?#]', rest, maxsplit=1)[0]
    if '@' in host:
        rest = host.rpartition('@')[2] + rest[len(host) :]
    elif _has_unquoted_login(host, rest):
        rest = rest.rpartition('@')[2]
    path, query, _ = rest.partition('?')
    return f'{scheme[0]}{path}{"?..." if query else ""}'


def _has_unquoted_login(host: str, url: str) -> bool:
    """Whether the host of an address is the start of a user and a password that hold one of / ? #."""
    return '@' in url and '@' not in host and not re.fullmatch(r'(\[.*\]|[^:]*)(:\d*)?', host)


@contextmanager
def _explained(timeout: float) -> Iterator[None]:
    # `from None`: the errors of the libraries may repeat the address of a proxy, with its password
    try:
        yield
    except (requests.Timeout, urllib3.TimeoutError):
        raise WebError(f'nothing came for {timeout:g} s', passing=True) from None
    except (requests.RequestException, urllib3.HTTPError, OSError, ValueError) as error:
        raise _explanation(error) from None


def _explanation(error: Exception) -> WebError:
    root = _root(error)
    if isinstance(root, ssl.SSLCertVerificationError):
        return WebError(
            f'the certificate of the server cannot be verified ({root.verify_message}); check that the clock of this '
            'machine is right. If your network has certificates of its own, set REQUESTS_CA_BUNDLE to their file'
        )
    if type(root) is http.client.BadStatusLine:
        return WebError(f'the program at this address is no web server (it says {str(root).strip():.60})')
    if isinstance(error, InvalidSchema):
        return WebError('it is no http:, https: or file: address')
    if isinstance(error, requests.ConnectionError):
        return WebError(f'no connection ({root})', passing=True)
    if isinstance(error, (ChunkedEncodingError, urllib3.HTTPError)):
        return WebError(f'the connection broke ({root})', passing=True)
    return WebError(str(error))


def _root(error: Exception) -> Exception:
    """The innermost of the errors that requests and urllib3 wrap into each other."""
    while True:
        inner = getattr(error, 'reason', None) or (error.args[-1] if error.args else None)
        if not isinstance(inner, Exception):
            return error
        error = inner


def without_secrets(text: str) -> str:
    """A text in which every address is as `shown` gives it.

    >>> without_secrets('no answer of https://me:secret@host/file?token=123 yet')
    'no answer of https://host/file?... yet'
    """
    return re.sub(r'//[^\s\'"]+', lambda found: shown(found[0]), text)
