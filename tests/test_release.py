"""What a release says of itself agrees: its version, its readme, the Pythons and the actions that its checks run."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
import setuptools
import yaml

import a2sg_zoo

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / '.github' / 'workflows').glob('*.yml'))
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason='a source distribution holds no workflows')


@pytest.fixture(scope='module')
def setup_file():
    """The names in setup.py, and the options that it gives to setuptools."""
    options = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, 'setup', lambda **given: options.update(given))
        names = runpy.run_path(str(ROOT / 'setup.py'))
    return names, options


def targets(text):
    """The targets of Markdown's links and pictures outside code."""
    return re.findall(r'\]\(([^)]+)\)', re.sub(r'```.*?```', '', text, flags=re.S))


def test_readme_without_a_repository_has_no_relative_link(setup_file):
    names, _ = setup_file
    text = names['readme'](None, '1.2.3')
    assert all(target.startswith('https://') for target in targets(text))
    # words, code and tables stay
    original = (ROOT / 'README.md').read_text()
    assert re.findall(r'```.*?```', text, re.S) == re.findall(r'```.*?```', original, re.S)
    assert text.count('\n') == original.count('\n')


def test_readme_links_to_files_of_its_tag(setup_file):
    names, _ = setup_file
    place = 'https://example.org/owner/a2sg_zoo'
    text = names['readme'](place + '/', '1.2.3')
    made = [target for target in targets(text) if target.startswith(place)]
    files = {re.sub(r'^/(raw|blob)/v1\.2\.3/', '', target.removeprefix(place)).partition('#')[0] for target in made}
    relative = {
        x.partition('#')[0] for x in targets((ROOT / 'README.md').read_text()) if '://' not in x and x[0] != '#'
    }
    assert files == relative and all((ROOT / file).exists() for file in files)
    assert all(target.startswith('https://') for target in targets(text))
    assert '![' not in text or f']({place}/raw/v1.2.3/docs/images/' in text


def test_readme_of_this_release(setup_file):
    names, options = setup_file
    version = a2sg_zoo.__version__
    assert options['long_description'] == names['readme'](PROJECT.get('urls', {}).get('Repository'), version)
    assert options['long_description_content_type'] == 'text/markdown'


def test_version_is_the_same_everywhere():
    version = a2sg_zoo.__version__
    assert yaml.safe_load((ROOT / 'CITATION.cff').read_text())['version'] == version
    newest = re.search(r'^## (\S+)', (ROOT / 'CHANGELOG.md').read_text(), re.M)[1]
    assert newest in (version, 'Unreleased')


def test_each_python_that_is_named_is_tested():
    named = {x.rpartition(' ')[2] for x in PROJECT['classifiers'] if re.search(r':: 3\.\d+$', x)}
    jobs = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())['jobs']
    assert set(jobs['tests']['strategy']['matrix']['python']) == named
    assert PROJECT['requires-python'] == f'>={min(named, key=lambda x: int(x[2:]))}'


@pytest.mark.parametrize('path', WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_pinned_actions_with_few_rights(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow['permissions'] == {'contents': 'read'}
    for name, job in workflow['jobs'].items():
        # only the upload may do more, and it cannot write to the repository
        allowed = {'id-token': 'write'} if (path.stem, name) == ('release', 'upload') else None
        assert job.get('permissions') == allowed
        for step in job.get('steps', []):
            assert re.fullmatch(r'[\w-]+/[\w-]+@[0-9a-f]{40}', step.get('uses', f'a/b@{0:040}'))


FORMS = sorted((ROOT / '.github' / 'ISSUE_TEMPLATE').glob('*.yml'))


@pytest.mark.parametrize('path', FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_the_keys_that_the_code_host_knows(path):
    form = yaml.safe_load(path.read_text())
    assert {'name', 'description', 'body'} <= form.keys() <= {'name', 'description', 'body', 'labels', 'title'}
    for part in form['body']:
        assert part.keys() <= {'type', 'id', 'attributes', 'validations'}
        assert part['attributes'].keys() <= {'label', 'description', 'placeholder', 'value', 'render'}
        assert part['attributes']['label'] and part['type'] in ('input', 'textarea')


def test_long_tests_exist():
    for test in (ROOT / 'tests' / 'long.txt').read_text().split():
        path, _, name = test.partition('::')
        assert f'def {name}(' in (ROOT / path).read_text(), test


def test_workflows_call_targets_that_exist():
    makefile = (ROOT / 'Makefile').read_text()
    said = '\n'.join(path.read_text() for path in WORKFLOWS) + (ROOT / '.ci/run').read_text()
    called = {name for names in re.findall(r'\bmake ((?:[a-z]+(?:-[a-z]+)* ?)+)', said) for name in names.split()}
    assert called <= {*re.findall(r'^([a-z-]+):', makefile, re.M)}
