"""The documentation site: it builds without a warning, and works in a real browser without a network.

The browser is Debian's chromium (`apt-get install chromium chromium-driver`). With A2SG_SITE in the environment, that
built site is tested, and nothing is built. With A2SG_SITE_SHOTS, pictures of the pages go to that folder.
"""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
webdriver = pytest.importorskip('selenium.webdriver', reason='needs the extra docs')
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

PAGES = dict(
    start='docs/index.html',
    tutorial='examples/surrogate_playground.html',
    minutes='docs/start.html',
    data='docs/tutorials/your_data.html',
    api='docs/reference/surrogates.html',
    leaderboard='docs/leaderboard.html',
    networks='docs/pretrained.html',
)


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The folder of the built site."""
    if 'A2SG_SITE' in os.environ:
        return Path(os.environ['A2SG_SITE']).absolute()
    pytest.importorskip('myst_nb', reason='needs the extra docs')
    folder = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-c', 'docs', '.', str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope='module')
def address(site):
    """The site, served on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    chromium, driver = shutil.which('chromium'), shutil.which('chromedriver')
    if not (chromium and driver):
        pytest.skip('needs chromium and chromedriver: apt-get install chromium chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        'headless',
        'no-sandbox',
        'disable-gpu',
        'disable-quic',
        'no-first-run',
        'disable-background-networking',
    ):
        options.add_argument(f'--{flag}')
    for flag in ('disable-component-update', 'disable-sync', 'disable-dev-shm-usage', 'hide-scrollbars'):
        options.add_argument(f'--{flag}')
    options.add_argument(f'--user-data-dir={tmp_path_factory.mktemp("chromium")}')
    # nothing outside this machine has a name
    options.add_argument('--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1')
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture
def wide(browser):
    size(browser, 1280, 900)
    return browser


@pytest.fixture
def phone(browser):
    size(browser, 390, 844)
    yield browser
    browser.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})


def size(browser, width, height):
    """Gives the window the size of a screen; a window itself cannot be as narrow as a phone."""
    metrics = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)


def shot(browser, name):
    if 'A2SG_SITE_SHOTS' in os.environ:
        browser.save_screenshot(str(Path(os.environ['A2SG_SITE_SHOTS'], f'{name}.png')))


def rows(browser):
    """The texts of the visible rows of the table of results."""
    script = """return Array.from(document.querySelectorAll('.results tbody tr')).filter((row) => !row.hidden)
        .map((row) => Array.from(row.cells).map((cell) => cell.textContent.trim()))"""
    return browser.execute_script(script)


@pytest.mark.parametrize('name', PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_logs_no_error(wide, address, name):
    wide.get_log('browser')
    wide.get(address + PAGES[name])
    assert not [line for line in wide.get_log('browser') if line['level'] == 'SEVERE']
    script = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert not [url for url in wide.execute_script(script) if not url.startswith((address, 'data:'))]
    broken = (
        'return Array.from(document.images).filter((image) => image.complete && !image.naturalWidth).map((i) => i.src)'
    )
    assert not wide.execute_script(broken)
    for width in (1024, 1366, 1280):
        size(wide, width, 900)
        assert wide.execute_script('return document.documentElement.scrollWidth') <= width
    shot(wide, name)


def test_the_top_leads_to_the_start_page(wide, address):
    wide.get(address)
    WebDriverWait(wide, 20).until(lambda b: b.current_url.endswith('docs/index.html'))
    assert wide.title.startswith('a2sg_zoo')


def test_search_finds_a_class_and_leads_to_it(wide, address):
    wide.get(address + PAGES['start'])
    field = wide.find_element(By.CSS_SELECTOR, 'input[name=q]')
    field.send_keys('ExactSearcher')
    field.submit()
    found = WebDriverWait(wide, 30).until(lambda b: b.find_elements(By.CSS_SELECTOR, '#search-results li a'))
    assert any('adaptation' in link.get_attribute('href') for link in found)
    shot(wide, 'search')
    next(link for link in found if 'adaptation' in link.get_attribute('href')).click()
    assert 'ExactSearcher' in wide.find_element(By.TAG_NAME, 'article').text


def test_the_leaderboard_sorts_in_both_directions(wide, address):
    wide.get(address + PAGES['leaderboard'])
    heads = wide.find_elements(By.CSS_SELECTOR, '.results th')
    column = next(k for k, head in enumerate(heads) if 'ours' in head.text)
    button = heads[column].find_element(By.TAG_NAME, 'button')
    values = [float(row[column].split()[0]) for row in rows(wide) if row[column]]
    for direction in ('descending', 'ascending'):
        button.click()
        assert heads[column].get_attribute('aria-sort') == direction
        texts = [row[column] for row in rows(wide)]
        shown = [float(text.split()[0]) for text in texts if text]
        assert shown == sorted(values, reverse=direction == 'descending')
        assert texts[len(shown) :] == [''] * (len(texts) - len(shown))  # rows without a figure come last


def test_the_leaderboard_filters_by_data_network_time_steps_and_text(wide, address):
    wide.get(address + PAGES['leaderboard'])
    everything = rows(wide)
    heads = [head.text for head in wide.find_elements(By.CSS_SELECTOR, '.results th')]
    for name, value in (('data', 'cifar100'), ('network', 'ResNet-19'), ('T', '4')):
        Select(wide.find_element(By.NAME, name)).select_by_value(value)
        column = heads.index(name)
        assert rows(wide) and all(row[column] == value for row in rows(wide))
    assert [row[0] for row in rows(wide)] == ['A2SG', 'ST-ASG', 'LSG']
    assert wide.find_element(By.CSS_SELECTOR, '.results .count').text == f'3 of {len(everything)} rows'
    wide.find_element(By.CSS_SELECTOR, '.results input[type=search]').send_keys('lsg')
    assert [row[0] for row in rows(wide)] == ['LSG']


def test_a_row_leads_to_its_report(wide, address):
    wide.get(address + PAGES['leaderboard'])
    wide.find_element(By.CSS_SELECTOR, '.results tbody a').click()
    assert re.search(r'benchmarks/(small_cpu|a2sg_choices)/report\.html', wide.current_url)
    assert 'Benchmark' in wide.find_element(By.TAG_NAME, 'h1').text


def test_internal_links_lead_somewhere(site):
    missing = []
    for page in site.rglob('*.html'):
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text()):
            if not re.match(r'[a-z]+:|//', target) and not (page.parent / target).exists():
                missing.append(f'{page.relative_to(site)}: {target}')
    assert not missing


@pytest.mark.parametrize('name', PAGES)
def test_a_phone_does_not_scroll_sideways(phone, address, name):
    phone.get(address + PAGES[name])
    assert phone.execute_script('return document.documentElement.clientWidth') == 390
    assert phone.execute_script('return document.documentElement.scrollWidth') <= 390
    shot(phone, f'phone_{name}')
