"""Configuration of the documentation site: `make docs`, or `sphinx-build -W --keep-going -c docs . build/site`.

The source folder is the root of the repository, so the same relative links work on the site and on a code host.
"""

import os
import sys
from functools import partialmethod
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / '_ext'), str(DOCS.parent)]
# the kernels of the tutorials import the checkout, too
os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [str(DOCS.parent), os.environ.get('PYTHONPATH')]))
os.environ['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get('PATH', '')])
# the networks of the tutorials are small: compiling them takes longer than running them
os.environ.update(A2SG_ZOO_OFFLINE='1', TQDM_DISABLE='1', TORCH_COMPILE_DISABLE='1')
# what commands print on a page has no colours and fits its width
os.environ.update(NO_COLOR='1', COLUMNS='150', PYTHONWARNINGS='ignore:IProgress not found')

from nbclient import NotebookClient  # noqa: E402

from a2sg_zoo import __version__  # noqa: E402

# what a command prints arrives in pieces; they are one text
NotebookClient.__init__ = partialmethod(NotebookClient.__init__, coalesce_streams=True)

project = 'a2sg_zoo'
author = 'the a2sg_zoo developers'
copyright = f'2026, {author}'
version = release = __version__

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
    'sphinx_design',
    'docstrings',
    'leaderboard',
]
root_doc = 'docs/index'
include_patterns = [
    'docs/**.md',
    'configs/**.md',
    'model_cards/*.md',
    'examples/*.ipynb',
    'CHANGELOG.md',
    'CODE_OF_CONDUCT.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
]
exclude_patterns = ['build', 'dist', 'work_dirs', 'data', '.*', '**/.ipynb_checkpoints']
default_role = 'py:obj'
nitpicky = False
# two classes of one name in two rooms: a name in a docstring leads to the first
suppress_warnings = ['ref.python']

myst_enable_extensions = ['colon_fence', 'attrs_block', 'attrs_inline', 'deflist', 'fieldlist']
myst_heading_anchors = 4
# every cell of every tutorial runs; a cell that fails ends the build
# DOCS_EXECUTION=off leaves them as they are, for a quick look at a page
nb_execution_mode = os.environ.get('DOCS_EXECUTION', 'force')
if nb_execution_mode == 'off':  # a cell that did not run has no lexer of its own
    suppress_warnings.append('misc.highlighting_failure')
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True
nb_render_markdown_format = 'myst'

# the reference needs none of the optional packages
autodoc_mock_imports = ['lightning', 'transformers']
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_typehints_format = 'short'
autodoc_preserve_defaults = True
autodoc_class_signature = 'mixed'
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = [('Source', 'notes_style')]

html_theme = 'furo'
html_title = 'a2sg_zoo'
html_static_path = ['_static']
html_css_files = ['site.css']
html_favicon = '_static/favicon.svg'
html_js_files = ['tables.js']
# index.html at the top leads to docs/index.html
html_extra_path = ['_top']
html_copy_source = False
html_show_sphinx = False
html_theme_options = dict(
    light_css_variables={'color-brand-primary': '#7a3b00', 'color-brand-content': '#9a4a00'},
    dark_css_variables={'color-brand-primary': '#ffb366', 'color-brand-content': '#ffb366'},
    navigation_with_keys=True,
)
copybutton_prompt_text = r'>>> |\.\.\. |\$ '
copybutton_prompt_is_regexp = True
copybutton_exclude = '.linenos, .gp, .go'
