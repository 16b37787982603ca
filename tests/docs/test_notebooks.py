"""Every cell of the notebooks and of the tutorials runs. A failure names the file and the cell."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
nbclient = pytest.importorskip('nbclient', reason='needs the extra docs')
nbformat = pytest.importorskip('nbformat')
read = pytest.importorskip('myst_nb.core.read', reason='needs the extra docs')

NOTEBOOKS = sorted((ROOT / 'examples').glob('*.ipynb'))
TUTORIALS = [page for page in sorted((ROOT / 'docs').rglob('*.md')) if 'file_format: mystnb' in page.read_text()]


def load(path):
    """A notebook, from a file of Jupyter or from Markdown with {code-cell}."""
    if path.suffix == '.ipynb':
        return nbformat.read(path, as_version=4)
    return read.read_myst_markdown_notebook(path.read_text(), path=path)


def run(path, folder, monkeypatch):
    """Runs the cells one by one in an empty folder; the first one that fails ends the test with its number."""
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')])))
    monkeypatch.setenv('TORCH_COMPILE_DISABLE', '1')
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '1')
    monkeypatch.setenv('TQDM_DISABLE', '1')
    monkeypatch.setenv('PATH', os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']]))
    notebook = load(path)
    client = nbclient.NotebookClient(
        notebook, timeout=900, kernel_name='python3', resources=dict(metadata=dict(path=str(folder)))
    )
    number = 0
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != 'code':
                continue
            number += 1
            try:
                client.execute_cell(cell, index)
            except nbclient.exceptions.CellExecutionError as error:
                first = cell.source.strip().splitlines()[0]
                pytest.fail(f'{path.name}: code cell {number}, which begins with {first!r}\n{error}', pytrace=False)
    assert number


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run(path, tmp_path, monkeypatch):
    run(path, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize('path', TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_run(path, tmp_path, monkeypatch):
    run(path, tmp_path, monkeypatch)


def test_a_cell_that_fails_is_named(tmp_path, monkeypatch):
    page = tmp_path / 'broken.md'
    page.write_text(
        '---\nfile_format: mystnb\nkernelspec: {name: python3, display_name: Python 3}\n---\n\n# Title\n\n'
        '```{code-cell} python\nx = 1\n```\n\ntext\n\n```{code-cell} python\ny = x + nothing\n```\n'
    )
    with pytest.raises(pytest.fail.Exception, match=r'broken\.md: code cell 2.*y = x \+ nothing'):
        run(page, tmp_path, monkeypatch)
